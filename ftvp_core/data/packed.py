"""Rows of large sets in little memory: 100,000 short Examples take 2 MB instead of 50."""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

from ftvp_core.types import Example

#: So many rows are kept as they are: they take little, and unpacking costs 2 µs a row at each reading.
FEW = 16_384
BLOCK = 256
#: Blocks that stay unpacked: more rows than are worked on at a time.
NEWEST = 8

T = TypeVar("T")


class Packed(Sequence[T], Generic[T]):
    """Rows in compressed blocks. A block is unpacked when one of its rows is asked for; the newest few stay so."""

    def __init__(self, rows: Iterable[T], cells: Callable[[T], Any], row: Callable[[Any], T]) -> None:
        """`cells` gives what is kept of a row, `row` makes it again: a tuple is packed five times as fast as a dataclass."""
        left = iter(rows)
        blocks = iter(lambda: [cells(one) for one in islice(left, BLOCK)], [])
        self._n = 0
        packed = []
        for block in blocks:
            self._n += len(block)
            packed.append(zlib.compress(pickle.dumps(block, pickle.HIGHEST_PROTOCOL), level=1))
        self._unpacked = partial(_unpacked, packed, row)
        self._newest = lru_cache(NEWEST)(self._unpacked)

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...

    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(self._n))]
        block, place = divmod(range(self._n)[at], BLOCK)
        return self._newest(block)[place]

    def __iter__(self) -> Iterator[T]:
        for block in range(-(-self._n // BLOCK)):
            yield from self._unpacked(block)


def _unpacked(packed: Sequence[bytes], row: Callable[[Any], T], block: int) -> list[T]:
    return [row(cells) for cells in pickle.loads(zlib.decompress(packed[block]))]  # noqa: S301, packed by this process


def pack(rows: Iterable[T], cells: Callable[[T], Any], row: Callable[[Any], T]) -> Sequence[T]:
    """The rows as they are where they are few, else `Packed`."""
    left = iter(rows)
    first = tuple(islice(left, FEW))
    after = next(left, None)
    return first if after is None else Packed(chain(first, (after,), left), cells, row)


def pack_examples(examples: Iterable[Example]) -> Sequence[Example]:
    return pack(examples, attrgetter(*Example.__slots__), _example)


def _example(cells: tuple[Any, ...]) -> Example:
    return Example(*cells)
