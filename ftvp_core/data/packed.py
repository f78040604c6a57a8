"""Rows of large sets in little memory: 100,000 short Examples take 2 MB instead of 50."""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

from ftvp_core.types import Assertion, Example, Message

#: So many rows are kept as they are: they take little, and unpacking costs 3-5 µs a row at each reading.
FEW = 16_384
BLOCK = 256
#: Blocks that stay unpacked: more rows than are worked on at a time.
NEWEST = 8

T = TypeVar("T")


class Packed(Sequence[T], Generic[T]):
    """Rows in compressed blocks. A block is unpacked when one of its rows is asked for; the newest few stay so."""

    def __init__(self, rows: Iterable[T], encode: Callable[[list[T]], str], decode: Callable[[str], list[T]]) -> None:
        """`encode` writes a block of rows as text, `decode` reads it."""
        left = iter(rows)
        self._n = 0
        packed = []
        for block in iter(lambda: list(islice(left, BLOCK)), []):
            self._n += len(block)
            packed.append(zlib.compress(encode(block).encode(errors="surrogatepass"), level=1))
        self._unpacked = partial(_unpacked, packed, decode)
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


def _unpacked(packed: Sequence[bytes], decode: Callable[[str], list[T]], block: int) -> list[T]:
    return decode(zlib.decompress(packed[block]).decode(errors="surrogatepass"))


def pack(rows: Iterable[T], encode: Callable[[list[T]], str], decode: Callable[[str], list[T]]) -> Sequence[T]:
    """The rows as they are where they are few, else `Packed`."""
    left = iter(rows)
    first = tuple(islice(left, FEW))
    after = next(left, None)
    return first if after is None else Packed(chain(first, (after,), left), encode, decode)


def pack_examples(examples: Iterable[Example]) -> Sequence[Example]:
    return pack(examples, _encoded, _decoded)


_parts = attrgetter(*Example.__slots__)
_of_assertion = attrgetter(*Assertion.__slots__)


def _encoded(block: Sequence[Example]) -> str:
    # By places, not by names: half the time of `json_pieces`.
    return json.dumps([_parts(one) for one in block], default=_of_assertion, separators=(",", ":"))


def _decoded(text: str) -> list[Example]:
    return [_example(*parts) for parts in json.loads(text)]


def _example(
    id_: str,
    input_: str,
    references: Sequence[str],
    columns: dict[str, str],
    group: str | None,
    tags: Sequence[str],
    gold: Sequence[str],
    system: str | None,
    history: Sequence[Sequence[Any]],
    assertions: Sequence[Sequence[Any]],
    recorded: str | None,
) -> Example:
    return Example(
        id_,
        input_,
        tuple(references),
        columns,
        group,
        tuple(tags),
        tuple(gold),
        system,
        tuple(Message(*turn) for turn in history),
        tuple(Assertion(*one) for one in assertions),
        recorded,
    )
