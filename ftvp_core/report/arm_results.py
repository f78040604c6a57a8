"""An arm's stored results as arrays: each row is looked at once, and none is held."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from sqlalchemy import Row

from ftvp_core.analysis.comparison import LedgerRow
from ftvp_core.analysis.retrieval import MEASURES, scores
from ftvp_core.spec import Candidate
from ftvp_core.types import Example, JsonMode, Tokens

#: What stands for an answer that hasn't been asked for yet.
NOT_RUN = "not run"
#: From so many answers of its own on, a run's latencies are theirs alone; below, those from the cache stand beside them.
#: Of 59 the slowest is above the 95th percentile with 95 % confidence (Wilks 1941, Ann. Math. Stat. 12:91).
ENOUGH_FRESH = 59


class ArmAnswers:
    """Arrays with a place for every planned (example, repeat) of one arm."""

    def __init__(self, candidate: Candidate, examples: Sequence[Example], repeats: int) -> None:
        self._examples = examples
        self._repeats = repeats
        self._retrieves = candidate.retrieval is not None
        self._is_recorded = bool(candidate.recorded)
        size = len(examples) * repeats
        self._grade, self._latency_s, self._ttft_s, self._valid = (np.full(size, np.nan) for _ in range(4))
        self._scores = np.full((size, MEASURES), np.nan)
        self._answered, self._from_cache, self._cut = (np.zeros(size, dtype=bool) for _ in range(3))
        self._request_usd: list[Decimal | None] = [None] * size
        self._errors = [NOT_RUN] * size
        self._json_modes: list[JsonMode | None] = [None] * size
        self._tokens = self._counted = 0
        self._once: dict[Any, Any] = {}
        self.recorded: list[LedgerRow] = []  # what recorded answers say of themselves: nothing was sent for them now

    def add(self, row: Row[Any]) -> None:
        at = row.example * self._repeats + row.repeat
        self._answered[at], self._from_cache[at], self._cut[at] = row.answered, row.from_cache, row.cut
        # One object for equal ones: of 100,000 rows a few hundred costs and errors are different.
        self._request_usd[at] = self._once.setdefault(row.request_usd, row.request_usd)
        error = row.error or ""
        self._errors[at] = self._once.setdefault(error, error)
        self._json_modes[at] = row.json_mode
        numbers = (
            (self._grade, row.grade), (self._latency_s, row.latency_s), (self._ttft_s, row.ttft_s),
            (self._valid, row.valid),
        )  # fmt: skip
        for array, value in numbers:
            if value is not None:
                array[at] = value
        if row.input_tokens is not None and row.output_tokens is not None:
            self._tokens += row.input_tokens + row.output_tokens
            self._counted += 1
        if self._retrieves and row.answered and (gold := self._examples[row.example].gold):
            self._scores[at] = scores(row.passages or (), gold)  # nothing found is found wrong, not left out
        if self._is_recorded:
            tokens = Tokens(row.input_tokens, row.cached_tokens, row.output_tokens)
            self.recorded.append(LedgerRow(row.example, 0, 0, 0, row.request_usd, tokens))

    @property
    def request_tokens(self) -> float | None:
        """Tokens of an answered request, in and out, on average; None where none is known."""
        return self._tokens / self._counted if self._counted else None

    def arrays(self, probe: Sequence[float] | None) -> dict[str, Any]:
        """Parts of an ArmResults. A probe's latencies take the first places."""
        latency_s, ttft_s = self._latency_s, self._ttft_s
        if (~np.isnan(latency_s) & ~self._from_cache).sum() >= ENOUGH_FRESH:
            latency_s[self._from_cache] = ttft_s[self._from_cache] = np.nan
        if probe is not None:
            latency_s[: len(probe)] = probe[: len(latency_s)]
        return {
            "example": np.arange(len(latency_s)) // self._repeats,
            "answered": self._answered,
            "grade": self._grade,
            "latency_s": latency_s,
            "ttft_s": ttft_s,
            "request_usd": self._request_usd,
            "errors": self._errors,
            "valid": self._valid,
            "json_modes": self._json_modes,
            "retrieval": self._scores,
            "cut": self._cut,
        }


def ledger_row(row: Row[Any], by_example: bool) -> LedgerRow:
    return LedgerRow(
        row.example if by_example else -1, row.attempts, row.other_attempts, row.cost_unknown, row.cost_usd,
        Tokens(row.input, row.cached_input, row.output),
    )  # fmt: skip
