"""Keys and values: of a prefix that several rows share, and of a batch whose rows go on from theirs.

A row's columns in a batch are its prefix, padded on the left to the batch's longest; then the rest of its prompt,
padded on the left again; then what it generates. Columns of padding are masked, and positions count real tokens.
"""

import math
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
            layer.go_on(*spread[at], len(prefixes), longest)
        elif rows:
            layer.fill([(*prefix.layers[at], some) for prefix, some in rows.values()], len(prefixes), longest)
        made.append(layer)
    return Cache(layers=made)


def give_back(cache: Any, prefixes: Sequence[Prefix | None]) -> None:
    """Leave an answered batch's memory to the next one."""
    first = prefixes[0]
    if first is not None and len(prefixes) > 1 and all(prefix is first for prefix in prefixes):
        first.spread[:] = [layer.whole for layer in cache.layers]


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


@cache
def _layer() -> Any:
    """The class of a batch's layer, made where transformers is needed."""
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """A DynamicLayer that grows in its own memory: transformers' copies the whole cache for every token."""

        def __init__(self, more: int) -> None:
            super().__init__()
            self._more = more

        def fill(self, parts: Sequence[tuple[Any, Any, list[int]]], rows: int, columns: int) -> None:
            """Begin with these keys and values, each for the rows named, at the right of the first columns."""
            keys, values, _ = parts[0]
            self.lazy_initialization(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
            self._keys, self._values = self._room(keys, rows, columns), self._room(values, rows, columns)
            for keys, values, at in parts:
                first = columns - keys.shape[-2]
                for whole, part in ((self._keys, keys), (self._values, values)):
                    whole[at, :, :first] = 0  # masked, but zero times what memory may hold is no number
                    whole[at, :, first:columns] = part
            missing = sorted(set(range(rows)) - {at for *_, some in parts for at in some})
            if missing:
                self._keys[missing, :, :columns] = self._values[missing, :, :columns] = 0
            self.whole = self._keys, self._values
            self._show(columns)

        def go_on(self, keys: Any, values: Any, rows: int, columns: int) -> None:
            """Begin in the memory of a batch whose first columns were the same for each row."""
            self.lazy_initialization(keys, values)
            self.whole = keys, values
            self._keys, self._values = keys[:rows], values[:rows]
            self._show(columns)

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self._keys, self._values = (self._room(new, len(new), 0) for new in (key_states, value_states))
                self.whole = self._keys, self._values
            before = self.get_seq_length()
            after = before + key_states.shape[-2]
            if after > self._keys.shape[-2]:
                self._more = after - before + GROWTH
                for name, old in (("_keys", self._keys), ("_values", self._values)):
                    grown = self._room(old, len(old), before)
                    grown[:, :, :before] = old[:, :, :before]
                    setattr(self, name, grown)
                self.whole = self._keys, self._values
            self._keys[:, :, before:after] = key_states
            self._values[:, :, before:after] = value_states
            self._show(after)
            return self.keys, self.values

        def select(self, to: Any, from_: Any, rows: int) -> None:
            if len(to):
                for whole in (self._keys, self._values):
                    whole[to] = whole[from_]
            columns = self.get_seq_length()
            self._keys, self._values = self._keys[:rows], self._values[:rows]
            self._show(columns)

        def _room(self, like: Any, rows: int, columns: int) -> Any:
            return like.new_empty((rows, like.shape[1], columns + self._more, like.shape[-1]))

        def _show(self, columns: int) -> None:
            self.keys, self.values = self._keys[:, :, :columns], self._values[:, :, :columns]

    return GrowingLayer


# Which models can


def shareable_columns(model: Any) -> float:
    """How many columns a batch may have whose cache is put together from prefixes: 0 where it can't be.

    The model must keep every token's keys and values (no state that is folded up as in a state-space model), take
    positions, and not scale them by the batch's longest row; a sliding window is no matter while it isn't full.
    That it then answers alike is tried, on a few tokens.
    """
    import inspect

    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    takes = inspect.signature(model.forward).parameters
    if not {"past_key_values", "position_ids", "logits_to_keep"} <= takes.keys() or _scales_by_length(model):
        return 0
    layers = DynamicCache(config=model.config).layers
    if not layers or not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return 0
    windows = [layer.sliding_window for layer in layers if type(layer) is DynamicSlidingWindowLayer]
    if "local" in getattr(model.config, "attention_layers", ()):  # GPT-Neo's own window, of which its cache is not told
        windows.append(model.config.window_size)
    try:
        alike = _answers_alike(model, len(layers))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return 0  # its own way with a cache: transformers' `generate` knows it
    return min(windows, default=math.inf) if alike else 0


def _scales_by_length(model: Any) -> bool:
    """Rotary positions whose frequencies change with the longest row so far: a prefix alone has others."""
    kinds = [str(getattr(module, "rope_type", "")) for module in model.modules()]
    return any(kind in said for said in kinds for kind in ("dynamic", "longrope"))


def _answers_alike(model: Any, layers: int) -> bool:
    """Whether logits after a prefix, padding and a moved row are those of the whole text in one pass."""
    import torch

    ids = (torch.arange(9) * 7 + 3) % model.config.get_text_config().vocab_size
    ids = ids.to(model.device)

    def after(cache: Any, tokens: Any, real: Any) -> Any:
        positions = (real.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        return model(
            input_ids=tokens, attention_mask=real, position_ids=positions, past_key_values=cache, use_cache=True
        ).logits

    with torch.inference_mode():
        whole = model(input_ids=ids[None], use_cache=False).logits[0]
        first = new_cache(layers, [None], 4)
        after(first, ids[None, :4], torch.ones(1, 4, dtype=torch.long, device=model.device))
        prefix = prefix_of(first, ids[:4].tolist())
        batch = new_cache(layers, [prefix, prefix.cut(2)], 6)
        real = torch.tensor([[1] * 9, [0] * 2 + [1] * 2 + [0] * 2 + [1] * 3], device=model.device)
        rests = torch.stack([ids[4:], torch.cat([ids[:2], ids[2:5]])])
        found = after(batch, rests, real)[:, -1]
        select(batch, [1])
        one = torch.ones(1, 1, dtype=torch.long, device=model.device)
        last = after(batch, ids[None, 5:6], torch.cat([real[1:], one], dim=1))[:, -1]
    pairs = [(found[0], whole[8]), (found[1], whole[4]), (last[0], whole[5])]
    # A wrong position or column moves logits by tens of percent; half precision by less than this.
    allowed = 1e-3 if whole.dtype == torch.float32 else 0.1
    return all(bool((a - b).norm() <= allowed * b.norm()) for a, b in pairs)
