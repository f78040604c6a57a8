"""Candidates that answer on this machine: what goes into a batch, and what is shared in it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ftvp_core.models.local.base import Base, in_4_bits, out_of_memory
from ftvp_core.models.local.cache import Prefix, new_cache, prefix_of
from ftvp_core.models.local.folders import base_folder, is_of_4_bits
from ftvp_core.models.local.generation import generate, generate_plainly
from ftvp_core.models.local.memory import SHARE, free_bytes, row_bytes
from ftvp_core.models.local.prefixes import common, deeper
from ftvp_core.models.local.prompts import BadPrompt, prompt_ids
from ftvp_core.models.local.rows import Row
from ftvp_core.types import Answer, Request

#: Rows generated at once, unless memory says fewer. On a CPU more gain nothing; on a GPU a step of a small model takes
#: as long for one row as for hundreds, for it is the launching of its kernels that takes the time.
ROWS_ON_CPU, ROWS_ON_GPU = 64, 512
#: A model asks for this many times as many rows, so that rows of a like length can go together.
ROWS_ASKED = 2
#: What all of a candidate's rows share is kept for its next ones: fewer tokens than this are computed each time.
WORTH_KEEPING = 16


def open_model(name: str, adapter: Path | None, loaded: dict[str, object]) -> "Local":
    """The model `name` (see `base_folder`), answering through `adapter` if one is given. Raises UserError.

    `loaded` keeps what is open, so that a base is in memory once for all who share it.
    """
    folder = base_folder(name)
    is_in_4_bits = adapter is not None and is_of_4_bits(adapter)
    key = f"{folder}{' in 4 bits' if is_in_4_bits else ''}"
    group = loaded.get(key)
    if not isinstance(group, Together):
        group = Together(Base(folder, **(in_4_bits() if is_in_4_bits else {})))
        loaded[key] = group
    identity = f"local#{name}{f'#{adapter}' if adapter else ''}"
    return Local(group, group.base.add_adapter(adapter) if adapter else None, identity)


class Local:
    """A base, or a base with an adapter, as one candidate's model.

    Temperature 0 is greedy; above it a row with a seed draws the same answer again, whatever rows are beside
    it. On a GPU (bf16) the rows beside it can still move a close call.

    A single request is as fast as on a server that keeps the prefix which all of the candidate's requests share
    (vLLM's default), in a steady stream of them: from the third on that prefix is warm. Nothing of the request's
    own is ever kept, so that asking the same examples again gains nothing more.
    """

    works = True

    def __init__(self, group: "Together", adapter: str | None, identity: str) -> None:
        self.identity = identity
        self.group = group
        self.adapter = adapter
        self.on_gpu = group.base.on_gpu
        self.batch_size = group.batch_size

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer | str]:
        """See `Together.answer`."""
        return self.group.answer([(self, request) for request in requests])

    def prompt_ids(self, request: Request) -> list[int]:
        """The tokens that are sent for a request."""
        return prompt_ids(self.group.base.tokenizer, request.messages)


class Together:
    """The candidates of one base: their rows share batches, each row with its own adapter."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._rows = ROWS_ON_GPU if base.on_gpu else ROWS_ON_CPU
        self.batch_size = ROWS_ASKED * self._rows
        #: Bytes for a batch, once one didn't fit.
        self._budget = math.inf
        #: Of the last rows' candidates: the prefix that is kept, and a prompt that shows what the next ones share.
        self._kept: dict[Local, tuple[Prefix | None, list[int]]] = {}

    def answer(self, asked: Sequence[tuple[Local, Request]]) -> list[Answer | str]:
        """Answers in order; a text is the cause why there is none. `usage` is exact, without padding.

        `machine_s` is the row's share of the time in which its tokens were computed: a prefix's by the rows that
        use it now, a prompt's by its tokens, a step's by the rows that were still being answered.
        """
        import torch

        answers: list[Answer | str] = [""] * len(asked)
        rows = []
        with self.base.lock, torch.inference_mode():
            for at, (arm, request) in enumerate(asked):
                row = self._row(at, arm, request)
                if isinstance(row, str):
                    answers[at] = row
                else:
                    rows.append(row)
            self._share(rows)
            for mixable in self._mixable(rows):
                for together, failure in self._batches(mixable):
                    for row in together:
                        answers[row.at] = failure or row.answer(self.base)
        return answers

    def _row(self, at: int, arm: Local, request: Request) -> Row | str:
        started = time.perf_counter()
        try:
            ids = arm.prompt_ids(request)
        except BadPrompt as error:
            return str(error)
        context = self.base.context
        room = request.max_tokens if context is None else min(request.max_tokens, context - len(ids))
        if room < 1:
            return f"the prompt's {len(ids)} tokens leave no room in the model's context of {context}"
        return Row(at, arm, arm.adapter, request, ids, room, time.perf_counter() - started)

    def _mixable(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows that can be in one batch; of a like length beside each other, the longest first."""

        def apart(row: Row) -> tuple[bool, str]:
            return self._shares(row), "" if self.base.mixes(row.adapter) else row.adapter or ""

        for _, some in groupby(sorted(rows, key=apart), key=apart):
            yield sorted(some, key=lambda row: (len(row.rest), len(row.ids)), reverse=True)

    # What is shared

    def _shares(self, row: Row) -> bool:
        return len(row.ids) + row.room <= self.base.shareable_columns

    def _share(self, rows: Sequence[Row]) -> None:
        """Gives each row the prefix that it shares. Keys and values are an adapter's own, and so is a prefix."""
        before, self._kept = self._kept, {}
        able = [row for row in rows if self._shares(row)]
        try:
            for arm in dict.fromkeys(row.arm for row in able):
                self._share_of(arm, [row for row in able if row.arm is arm], *before.pop(arm, (None, None)))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self._forget(rows)

    def _share_of(self, arm: Local, rows: Sequence[Row], kept: Prefix | None, shown: list[int] | None) -> None:
        prompts = [row.ids for row in rows]
        seen = prompts if shown is None else [*prompts, shown]
        length = common(seen) if len(seen) > 1 else 0
        known = min(length, common([[*kept.ids, -1], prompts[0]])) if kept else 0
        prefix = kept.cut(known) if kept else None
        if length - known >= WORTH_KEEPING:
            prefix = self._extended(rows, prefix, length)
        for row in rows:
            row.prefix = prefix
        self._kept[arm] = prefix, prompts[-1]
        for at, length in deeper(prompts, prefix.length if prefix else 0):
            some = [rows[one] for one in at]
            longer = self._extended(some, some[0].prefix, length)
            for row in some:
                row.prefix = longer

    def _extended(self, rows: Sequence[Row], prefix: Prefix | None, length: int) -> Prefix:
        """The first `length` tokens of these rows, which go on from `prefix`."""
        import torch

        base, started = self.base, time.perf_counter()
        known, ids = prefix.length if prefix else 0, rows[0].ids[:length]
        cache = new_cache(base.layers, [prefix], length - known)
        with base.rows([rows[0].adapter]) as forward:
            forward(
                input_ids=torch.tensor([ids[known:]], device=base.device),
                attention_mask=torch.ones(1, length, dtype=torch.long, device=base.device),
                position_ids=torch.arange(known, length, device=base.device)[None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        if base.on_gpu:
            torch.cuda.synchronize()
        share = (time.perf_counter() - started) / len(rows)
        for row in rows:
            row.seconds += share
        return prefix_of(cache, ids)

    def _forget(self, rows: Sequence[Row]) -> None:
        """Room for those who need it more."""
        self._kept.clear()
        for row in rows:
            row.prefix = None

    # What fits

    def _batches(self, rows: Sequence[Row]) -> Iterator[tuple[list[Row], str | None]]:
        """Answers rows, as many at once as fit by then. What doesn't is halved, down to one row.

        Yields them batch by batch, with the cause if they have no answer.
        """
        waiting = list(rows)
        while waiting:
            n, each = self._fitting(waiting)
            some = waiting[:n]
            fits = self._tried(some)
            if not fits and n > 1:
                self._budget = n // 2 * each
                continue
            waiting = waiting[n:]
            yield some, None if fits else f"the prompt's {len(some[0].ids)} tokens don't fit in this machine's memory"

    def _fitting(self, rows: Sequence[Row]) -> tuple[int, int]:
        """How many of the first of these rows should fit at once, and the bytes that each takes at the most."""
        each = row_bytes(self.base.model, len(rows[0].rest), _columns(rows))
        kept = [prefix for prefix, _ in self._kept.values() if prefix]
        lent = sum(part.nbytes for prefix in kept for layer in prefix.spread for part in layer)
        budget = min(self._budget, SHARE * (free_bytes(self.base.model.device) + lent))
        return min(len(rows), self._rows, max(1, int(budget // each))), each

    def _tried(self, rows: Sequence[Row]) -> bool:
        """Whether these rows could be answered together in this machine's memory."""
        try:
            self._how(rows)(self.base, rows)
            return True
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        # After the except clause: until its end the failed try's tensors are held by the traceback.
        if self.base.on_gpu:
            import torch

            torch.cuda.empty_cache()
        return False

    def _how(self, rows: Sequence[Row]) -> Callable[[Base, Sequence[Row]], None]:
        """Rows whose cache can't be put together go through transformers' own `generate`."""
        return generate if _columns(rows) <= self.base.shareable_columns else generate_plainly


def _columns(rows: Sequence[Row]) -> int:
    """How wide a batch of these rows can become."""
    longest = max(row.prefix.length if row.prefix else 0 for row in rows)
    return longest + max(len(row.rest) for row in rows) + max(row.room for row in rows)
