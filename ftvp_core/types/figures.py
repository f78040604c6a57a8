"""What is known of a candidate, and of two side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, get_args

from ftvp_core.types.asking import JsonMode, Method

Verdict = Literal["better", "worse", "equivalent", "not decided"]
_OPPOSITE: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better"}

#: What retrieval had to do with an answer: of the four, only the first is for a better search to mend.
Diagnosis = Literal["not retrieved", "retrieved, answered wrong", "right without it", "retrieved, answered right"]
DIAGNOSES: tuple[Diagnosis, ...] = get_args(Diagnosis)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    @property
    def turned(self) -> "Interval":
        """Of the same difference the other way round."""
        return Interval(-self.high, -self.low)


@dataclass(frozen=True, slots=True)
class Quantiles:
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over all billed attempts; None where no attempt reported usage."""

    input: int | None
    cached_input: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Over the examples that name gold passages; k is the candidate's top_k."""

    hit_at_k: Measured
    recall_at_k: Measured
    mrr: Measured
    ndcg: Measured


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a candidate's repeats lie apart: the accuracy of each, and their range and standard deviation.

    `agreement`: of two answers to one example, how often they have the same grade. `flipped`: the share of examples
    whose answers don't all have the same grade. None where no example has two graded answers.
    """

    accuracies: tuple[float, ...]
    min: float
    max: float
    sd: float | None
    agreement: float | None
    flipped: float | None


@dataclass(frozen=True, slots=True)
class ValidOutput:
    """The share of answers that are JSON and valid by the candidate's output schema, of `n` answers.

    `modes`: how many of them came to be in each way; answers that were given (recorded, a floor's) in none.
    """

    value: float
    interval: Interval
    n: int
    modes: Mapping[JsonMode, int]


@dataclass(frozen=True, slots=True)
class CandidateFigures:
    """One candidate of a Comparison. `n = n_scored + n_failed + n_ungraded`.

    `tokens` and `cost_usd` are of the candidate's own answers, as billed by this run. What it takes to make a tuned one
    is in `training_cost_usd`, whoever paid for it and when: the machine's time and, for a student, its teacher's labels.
    So no dollar is in both. The labels' attempts are the student's `other_attempts`.
    """

    name: str
    method: Method
    model: str | None
    n: int
    n_scored: int
    n_failed: int
    n_ungraded: int
    accuracy: float | None
    interval: Interval | None
    latency_s: Quantiles | None
    ttft_s: Quantiles | None
    tokens: Tokens
    attempts: int
    other_attempts: int
    attempts_cost_unknown: int
    cost_usd: Decimal | None
    cost_per_1k_usd: Decimal | None
    training_cost_usd: Decimal | None
    retrieval: RetrievalFigures | None = None
    valid_output: ValidOutput | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    batch: bool = False  # answered in batches: its latency isn't measured
    spread: Spread | None = None  # over the repeats, where there are several
    n_cut: int = 0  # answers that ended at their `max_tokens`, graded as they stand
    n_cut_wrong: int = 0  # those of them with a grade below 1


@dataclass(frozen=True, slots=True)
class PairFigures:
    """`difference` = accuracy of a − accuracy of b over the `n` examples that both were scored on."""

    a: str
    b: str
    n: int
    difference: float | None
    interval: Interval | None
    p_value: float | None
    p_adjusted: float | None
    verdict: Verdict
    a_only: int
    b_only: int

    @property
    def turned(self) -> "PairFigures":
        """The same pair, seen from `b`."""
        return PairFigures(
            self.b,
            self.a,
            self.n,
            -self.difference if self.difference is not None else None,
            self.interval.turned if self.interval is not None else None,
            self.p_value,
            self.p_adjusted,
            _OPPOSITE.get(self.verdict, self.verdict),
            self.b_only,
            self.a_only,
        )


@dataclass(frozen=True, slots=True)
class Slice:
    tag: str
    candidates: tuple[CandidateFigures, ...]
    pairs: tuple[PairFigures, ...]
