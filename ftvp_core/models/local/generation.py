"""Tokens for rows in one batch, one step after another, until each row has ended."""

import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ftvp_core.models.local.base import Base
from ftvp_core.models.local.cache import GROWTH, give_back, new_cache, select
from ftvp_core.models.local.rows import Row, choose

#: Rows that have ended stay while they are fewer than one in so many: taking them out moves others in every layer.
STAY = 16


def generate(base: Base, rows: Sequence[Row]) -> None:
    """Answer rows that go on from their prefixes. Those that have ended leave the batch; a row's seconds are its own."""
    import torch

    lap = _Lap()
    for row in rows:
        row.begin(base)
    live = list(rows)
    prefixes = [row.prefix for row in rows]
    shared = max(prefix.length if prefix else 0 for prefix in prefixes)
    width = max(len(row.rest) for row in rows)
    cache = new_cache(base.layers, prefixes, width + GROWTH)
    most = max(row.room for row in rows)
    real = torch.tensor([_real(row, shared, width) + [1] * most for row in rows], device=base.device)
    ids = torch.tensor([[base.pad] * (width - len(row.rest)) + row.rest for row in rows], device=base.device)
    columns = shared + width
    positions = (real[:, :columns].cumsum(1) - 1).clamp(min=0)[:, shared:]
    computed = [len(row.rest) for row in rows]
    while live:
        with base.rows([row.adapter for row in live]) as forward:
            while STAY * sum(row.ended for row in live) < len(live):
                logits = forward(
                    input_ids=ids,
                    attention_mask=real[:, :columns],
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                ).logits[:, -1]
                chosen = choose(live, logits.float())
                for row, token in zip(live, chosen.tolist(), strict=True):  # a step's only wait for the device
                    if not row.ended:
                        row.take(token, base)
                lap.share(live, computed)
                computed = [0 if row.ended else 1 for row in live]
                ids = chosen[:, None]
                columns, positions = columns + 1, positions[:, -1:] + 1
        order = _without_ended(live)
        select(cache, order)
        live, computed = [live[at] for at in order], [1] * len(order)
        ids, real, positions = ids[order], real[order], positions[order]
    give_back(cache, prefixes)


def generate_plainly(base: Base, rows: Sequence[Row]) -> None:
    """Answer rows through transformers' `generate`, padded on the left: for a model with a cache of another kind.

    It takes one adapter at a time, and goes on with a row that has ended, for which there must be positions.
    """

    def alike(row: Row) -> tuple[str, int]:
        return row.adapter or "", row.room

    for _, some in groupby(sorted(rows, key=alike), key=alike):
        _plainly(base, list(some))


def _plainly(base: Base, rows: Sequence[Row]) -> None:
    import torch

    lap = _Lap()
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([[base.pad] * (width - len(row.ids)) + row.ids for row in rows], device=base.device)
    real = torch.tensor([[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows], device=base.device)
    for row in rows:
        row.begin(base)

    def chosen(_: Any, scores: Any) -> Any:
        """Leaves the one token that a row takes; a row that has ended is padded by `generate`."""
        live = [at for at, row in enumerate(rows) if not row.ended]
        tokens = choose([rows[at] for at in live], scores[live].float())
        for at, token in zip(live, tokens.tolist(), strict=True):
            rows[at].take(token, base)
            scores[at] = float("-inf")
            scores[at, token] = 0
        return scores

    def ended(*_: Any, **__: Any) -> Any:
        return torch.tensor([row.ended for row in rows], device=base.device)

    with base.as_arm(rows[0].adapter):
        base.model.generate(
            input_ids=ids,
            attention_mask=real,
            max_new_tokens=rows[0].room,
            do_sample=False,
            logits_processor=[chosen],
            stopping_criteria=[ended],
        )
    lap.share(rows, [len(row.ids) + len(row.tokens) for row in rows])


def _real(row: Row, shared: int, width: int) -> list[int]:
    """Which of a prompt's columns hold a token: its prefix at the right of the shared columns, the rest of the others."""
    prefix, rest = row.prefix.length if row.prefix else 0, len(row.rest)
    return [0] * (shared - prefix) + [1] * prefix + [0] * (width - rest) + [1] * rest


def _without_ended(rows: Sequence[Row]) -> list[int]:
    """Where each remaining row comes from: the last ones move into the places of those that have ended."""
    live = [at for at, row in enumerate(rows) if not row.ended]
    moved = iter(reversed([at for at in live if at >= len(live)]))
    return [at if not rows[at].ended else next(moved) for at in range(len(live))]


class _Lap:
    """Wall time since it was last shared out."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def share(self, rows: Sequence[Row], computed: Sequence[int]) -> None:
        """Among these rows, by how many tokens each had computed."""
        now = time.perf_counter()
        for row, tokens in zip(rows, computed, strict=True):
            row.seconds += (now - self._since) * tokens / sum(computed)
        self._since = now
