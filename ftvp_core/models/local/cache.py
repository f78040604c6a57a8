"""Keys and values: of a prefix that several rows share, and of a batch whose rows go on from theirs.

A row's columns in a batch are its prefix, padded on the left to the batch's longest; then the rest of its prompt,
padded on the left again; then what it generates. Columns of padding are masked, and positions count real tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

#: Columns that a batch's cache grows by, beyond its prompts: most answers end before there is a second growth.
GROWTH = 64


@dataclass(frozen=True, slots=True)
class Prefix:
    """The keys and values of `ids`, a tensor [1, heads, len(ids), size] each for every layer.

    `spread` is the memory of the last batch whose rows all began with it: the next one needn't copy it to each row.
    """

    ids: list[int]
    layers: list[tuple[Any, Any]]
    spread: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.ids)

    def cut(self, length: int) -> "Prefix | None":
        """Its first tokens, in the same memory."""
        if length in (0, self.length):
            return self if length else None
        return Prefix(self.ids[:length], [(k[:, :, :length], v[:, :, :length]) for k, v in self.layers])


def new_cache(layers: int, prefixes: Sequence[Prefix | None], more: int) -> Any:
    """A transformers Cache whose rows begin with these prefixes, with memory for `more` columns."""
    from transformers import Cache

    longest = max((prefix.length for prefix in prefixes if prefix), default=0)
    rows: dict[int, tuple[Prefix, list[int]]] = {}
    for at, prefix in enumerate(prefixes):
        if prefix is not None:
            rows.setdefault(id(prefix), (prefix, []))[1].append(at)
    spread = [] if len(rows) != 1 or None in prefixes else [*prefixes[0].spread]  # type: ignore[union-attr]
    for prefix, _ in rows.values():
        prefix.spread.clear()  # memory that no batch has now
    large = bool(spread) and len(spread[0][0]) >= len(prefixes) > 1 and spread[0][0].shape[-2] >= longest + more
    made = []
    for at in range(layers):
        layer = _layer()(more)
        if large:
            layer.begin(*(Growing(memory, len(prefixes), longest) for memory in spread[at]))
        elif rows:
            keys = [(prefix.layers[at][0], some) for prefix, some in rows.values()]
            values = [(prefix.layers[at][1], some) for prefix, some in rows.values()]
            layer.begin(*(Growing.filled(parts, len(prefixes), longest, more) for parts in (keys, values)))
        made.append(layer)
    return Cache(layers=made)


def give_back(cache: Any, prefixes: Sequence[Prefix | None]) -> None:
    """Leave an answered batch's memory to the next one."""
    first = prefixes[0]
    if first is not None and len(prefixes) > 1 and all(prefix is first for prefix in prefixes):
        first.spread[:] = [tuple(part.memory for part in layer.parts) for layer in cache.layers]


def prefix_of(cache: Any, ids: list[int]) -> Prefix:
    """What a cache of one row holds after these tokens."""
    return Prefix(ids, [(layer.keys, layer.values) for layer in cache.layers])


def select(cache: Any, order: Sequence[int]) -> None:
    """Leave these rows, in this order; one that comes from elsewhere is moved, and none to where one stays."""
    import torch

    device = cache.layers[0].keys.device
    to = torch.tensor([at for at, from_ in enumerate(order) if at != from_], dtype=torch.long, device=device)
    from_ = torch.tensor([order[at] for at in to.tolist()], dtype=torch.long, device=device)
    for layer in cache.layers:
        layer.select(to, from_, len(order))


class Growing:
    """A layer's keys, or its values, in memory that has room for more columns.

    transformers' own copies all of them for every token.
    """

    def __init__(self, memory: Any, rows: int, columns: int) -> None:
        """`memory`: [rows, heads, columns, size], of which the first rows and columns are in use."""
        self.memory, self._rows = memory, memory[:rows]
        self._columns = columns

    @classmethod
    def filled(cls, parts: Sequence[tuple[Any, list[int]]], rows: int, columns: int, more: int) -> "Growing":
        """These keys, each in the rows named, at the right of the first columns."""
        memory = _room(parts[0][0], rows, columns + more)
        for part, at in parts:
            first = columns - part.shape[-2]
            memory[at, :, :first] = 0  # masked, but zero times what memory may hold is no number
            memory[at, :, first:columns] = part
        missing = sorted(set(range(rows)) - {at for _, some in parts for at in some})
        if missing:
            memory[missing, :, :columns] = 0
        return cls(memory, rows, columns)

    @property
    def shown(self) -> Any:
        """What is in use."""
        return self._rows[:, :, : self._columns]

    def append(self, new: Any) -> None:
        before, after = self._columns, self._columns + new.shape[-2]
        if after > self._rows.shape[-2]:
            grown = _room(new, len(new), after + GROWTH)
            grown[:, :, :before] = self.shown
            self.memory = self._rows = grown
        self._rows[:, :, before:after] = new
        self._columns = after

    def select(self, to: Any, from_: Any, rows: int) -> None:
        """See `select`; `to` and `from_` are indices of equal length."""
        if len(to):
            self._rows[to] = self._rows[from_]
        self._rows = self._rows[:rows]


def _room(like: Any, rows: int, columns: int) -> Any:
    return like.new_empty((rows, like.shape[1], columns, like.shape[-1]))


@cache
def _layer() -> Any:
    """The class of a batch's layer, made where transformers is needed."""
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """A DynamicLayer in memory that grows. `more`: columns that it begins with room for."""

        def __init__(self, more: int) -> None:
            super().__init__()
            self._more = more

        def begin(self, keys: Growing, values: Growing) -> None:
            self.lazy_initialization(keys.shown, values.shown)
            self.parts = keys, values
            self.keys, self.values = keys.shown, values.shown

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            new = key_states, value_states
            if not self.is_initialized:
                self.begin(*(Growing(_room(one, len(one), self._more), len(one), 0) for one in new))
            for part, one in zip(self.parts, new, strict=True):
                part.append(one)
            self.keys, self.values = (part.shown for part in self.parts)
            return self.keys, self.values

        def select(self, to: Any, from_: Any, rows: int) -> None:
            for part in self.parts:
                part.select(to, from_, rows)
            self.keys, self.values = (part.shown for part in self.parts)

    return GrowingLayer
