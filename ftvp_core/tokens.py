"""Counting a prompt's tokens before it is sent. What was used is the server's word; this is for estimates."""

from collections.abc import Callable
from dataclasses import dataclass

#: Where no tokenizer is at hand: UTF-8 bytes over this, right to a factor of two in every script.
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Counter:
    """`method` says how it counts, to be shown beside the count."""

    count: Callable[[str], int]
    method: str


def estimated(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


ESTIMATE = Counter(estimated, "estimated: bytes ÷ 4")


def counter(model: str) -> Counter:
    """tiktoken for the models that it knows and whose table is at hand, else the estimate.

    A table is downloaded once, on the first use of its model; without a network that fails within a moment.
    """
    import tiktoken

    try:
        encoding = tiktoken.get_encoding(tiktoken.encoding_name_for_model(model))
    except (KeyError, OSError, ValueError):  # an unknown model; no network and no table
        return ESTIMATE
    return Counter(lambda text: len(encoding.encode(text, disallowed_special=())), f"tiktoken {encoding.name}")
