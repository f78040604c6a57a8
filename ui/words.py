"""Data as text, not as markup, and times as people say them."""

import re
import time

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_SHORTCODE = re.compile(r":(?=[\w+-]+:)")
_WORD_JOINER = "\u2060"


def plain(text: str) -> str:
    """Text that Markdown shows as it is: nothing in a name or an answer is markup.

    A word joiner, which is invisible, keeps `:smile:` from becoming a picture.
    """
    joined = _SHORTCODE.sub(":" + _WORD_JOINER, text)
    lines = _PUNCTUATION.sub(r"\\\1", joined).splitlines() or [""]
    return "  \n".join(_indented(line) or "&nbsp;" for line in lines)


def ago(then: float, now: float | None = None) -> str:
    """`just now`, `2 min ago`, `3 h ago`, `5 days ago`."""
    passed = (time.time() if now is None else now) - then
    for size, unit in ((86400 * 2, "days"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{passed // (86400 if unit == 'days' else size):.0f} {unit} ago"
    return "just now"


def clipped(text: str, length: int) -> str:
    """The beginning of a long text, with what is left out said."""
    return text if len(text) <= length else f"{text[:length]} … ({len(text) - length:,} more characters)"


def _indented(line: str) -> str:
    """Spaces at the beginning kept: Markdown drops them, or takes them for code."""
    bare = line.lstrip(" \t")
    return "&nbsp;" * (len(line) - len(bare)) + bare
