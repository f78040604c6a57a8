"""Which prompts begin alike, so that their first tokens are computed once."""

from collections.abc import Iterator, Sequence
from itertools import groupby

#: A prefix deeper than the one that all rows share is computed apart where that saves at least this many tokens:
#: a pass of its own costs about as much as that many tokens in a batch.
WORTH = 256


def common(rows: Sequence[list[int]]) -> int:
    """How many first tokens all rows share; a row's last token is never counted, for it is what is answered to."""
    low, high = min(rows), max(rows)  # all that these two share stands in every row between them
    shortest = min(map(len, rows)) - 1
    return next((at for at in range(shortest) if low[at] != high[at]), shortest)


def deeper(rows: Sequence[list[int]], known: int, worth: int = WORTH) -> Iterator[tuple[list[int], int]]:
    """Groups of rows that share more than the `known` tokens that all do: (their positions, how many tokens).

    A longer prefix comes after the shorter one that it goes on from. The tree of prefixes is that of SGLang's
    RadixAttention (Zheng et al., 2024), for the rows at hand.
    """
    yield from _below(rows, sorted(range(len(rows)), key=lambda at: rows[at]), known, worth)


def _below(rows: Sequence[list[int]], order: Sequence[int], known: int, worth: int) -> Iterator[tuple[list[int], int]]:
    length = common([rows[at] for at in order])
    if (len(order) - 1) * (length - known) >= worth:
        yield list(order), length
        known = length
    parts = [list(part) for _, part in groupby(order, key=lambda at: rows[at][length])]
    for part in parts:
        if 1 < len(part) < len(order):
            yield from _below(rows, part, known, worth)
