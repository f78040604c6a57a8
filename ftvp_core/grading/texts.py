"""Texts as graders compare them."""

import unicodedata


def normal(text: str) -> str:
    """NFC, outer white space stripped, case kept."""
    return unicodedata.normalize("NFC", text).strip()
