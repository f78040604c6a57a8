"""Results, grades and ledger to a Comparison: pure arithmetic over arrays, no store, no model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftvp_core.analysis.intervals import (
    Floats,
    Ints,
    accuracy_interval,
    difference_interval,
    quantiles,
    ratio_interval,
)
from ftvp_core.analysis.paired import holm, paired_p, verdict
from ftvp_core.analysis.repeats import spread
from ftvp_core.analysis.retrieval import retrieval_figures
from ftvp_core.types import (
    CandidateFigures,
    Comparison,
    JsonMode,
    Measured,
    Method,
    PairFigures,
    Slice,
    Tokens,
    ValidOutput,
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Attempts of one arm, summed by example, or over all of them (`example` -1): where no slice asks, or of labels.

    None: no attempt of these reported it, or has a price.
    """

    example: int
    attempts: int
    other_attempts: int
    cost_unknown: int
    cost_usd: Decimal | None
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class ArmResults:
    """One arm's results, one entry for each planned (example, repeat); `answered` False where there is none yet."""

    name: str
    method: Method
    model: str | None
    example: Ints  # position in the eval set
    answered: NDArray[np.bool_]
    grade: Floats  # nan: failed or ungraded
    latency_s: Floats  # nan: not measured
    ttft_s: Floats
    request_usd: Sequence[Decimal | None]
    errors: Sequence[str]
    ledger: Sequence[LedgerRow]
    retrieval: Floats  # entries × MEASURES; nan: nothing was retrieved, or the example names no gold passage
    valid: Floats  # 1 or 0; nan: no output schema, or no answer
    json_modes: Sequence[JsonMode | None]
    cut: NDArray[np.bool_]  # the answer ended at its `max_tokens`
    training_cost_usd: Decimal | None = None
    batch: bool = False
    priced: bool = True  # what it bills is known to be 0 where nothing was sent


#: What of it has an entry for each planned (example, repeat).
_ARRAYS = ("example", "answered", "grade", "latency_s", "ttft_s", "retrieval", "valid", "cut")
_LISTS = ("request_usd", "errors", "json_modes")


def entries(arms: Sequence[ArmResults], places: Ints) -> dict[str, Any]:
    """The entries at `places` of all arms' laid end to end, in that order: parts of an ArmResults."""
    arrays = {key: np.concatenate([getattr(arm, key) for arm in arms])[places] for key in _ARRAYS}
    ends = {key: [value for arm in arms for value in getattr(arm, key)] for key in _LISTS}
    return arrays | {key: [values[at] for at in places.tolist()] for key, values in ends.items()}


def compare(
    arms: Sequence[ArmResults],
    clusters: Ints,
    tags: Sequence[Sequence[str]],
    margin: float,
) -> Comparison:
    """`clusters` and `tags` by example. A slice a tag, by name: the same figures over its examples alone."""
    names = sorted({tag for row in tags for tag in row})
    slices = []
    for tag in names:
        inside = np.array([tag in row for row in tags])
        within = [_within(arm, inside) for arm in arms]
        slices.append(Slice(tag, _figures(within, clusters), _pairs(within, clusters, margin)))
    return Comparison(_figures(arms, clusters), _pairs(arms, clusters, margin), tuple(slices))


def _figures(arms: Sequence[ArmResults], clusters: Ints) -> tuple[CandidateFigures, ...]:
    return tuple(candidate_figures(arm, clusters) for arm in arms)


def candidate_figures(arm: ArmResults, clusters: Ints) -> CandidateFigures:
    scored = ~np.isnan(arm.grade)
    grades = arm.grade[scored]
    known = [
        cost for cost, answered in zip(arm.request_usd, arm.answered, strict=True) if answered and cost is not None
    ]
    return CandidateFigures(
        name=arm.name,
        method=arm.method,
        model=arm.model,
        n=len(arm.example),
        n_scored=len(grades),
        n_failed=int((~arm.answered).sum()),
        n_ungraded=int((arm.answered & ~scored).sum()),
        accuracy=float(grades.mean()) if len(grades) else None,
        interval=accuracy_interval(grades, clusters[arm.example[scored]]) if len(grades) else None,
        latency_s=quantiles(arm.latency_s[~np.isnan(arm.latency_s)]),
        ttft_s=quantiles(arm.ttft_s[~np.isnan(arm.ttft_s)]),
        tokens=Tokens(
            *(
                _sum([getattr(row.tokens, key) for row in arm.ledger], 0 if arm.model and not arm.ledger else None)
                for key in ("input", "cached_input", "output")
            )
        ),
        attempts=sum(row.attempts for row in arm.ledger),
        other_attempts=sum(row.other_attempts for row in arm.ledger),
        attempts_cost_unknown=sum(row.cost_unknown for row in arm.ledger),
        cost_usd=_sum([row.cost_usd for row in arm.ledger], Decimal(0) if arm.priced else None),
        cost_per_1k_usd=1000 * sum(known, Decimal(0)) / len(known) if known else None,
        training_cost_usd=arm.training_cost_usd,
        retrieval=retrieval_figures(arm.retrieval, clusters[arm.example]),
        batch=arm.batch,
        spread=spread(arm.grade, arm.example),
        valid_output=_valid_output(arm, clusters),
        n_cut=int(arm.cut.sum()),
        n_cut_wrong=int((arm.grade[scored & arm.cut] < 1).sum()),
        failures=dict(Counter(error for error in arm.errors if error).most_common()),
    )


def _valid_output(arm: ArmResults, clusters: Ints) -> ValidOutput | None:
    """Validity beside correctness: of all answers, graded or not."""
    held = ~np.isnan(arm.valid)
    if not held.any():
        return None
    valid = arm.valid[held]
    modes = Counter(mode for mode in arm.json_modes if mode is not None)
    interval = accuracy_interval(valid, clusters[arm.example[held]])
    return ValidOutput(float(valid.mean()), interval, len(valid), dict(modes.most_common()))


def retained(student: ArmResults, teacher: ArmResults, clusters: Ints) -> Measured | None:
    """The student's accuracy over the teacher's, on the examples that both were scored on."""
    examples, of_student, of_teacher = _both(student, teacher)
    if not len(examples) or (interval := ratio_interval(of_student, of_teacher, clusters[examples])) is None:
        return None
    return Measured(float(of_student.mean() / of_teacher.mean()), interval)


def _pairs(arms: Sequence[ArmResults], clusters: Ints, margin: float) -> tuple[PairFigures, ...]:
    """All pairs in the arms' order, Holm's adjustment over those that share examples."""
    pairs = list(combinations(arms, 2))
    shared = [shared_differences(a, b) for a, b in pairs]
    tested = [at for at, (_, differences) in enumerate(shared) if len(differences)]
    p_values = [paired_p(differences, clusters[examples]) for examples, differences in (shared[at] for at in tested)]
    by_pair: Mapping[int, tuple[float, float]] = dict(
        zip(tested, zip(p_values, holm(p_values), strict=True), strict=True)
    )
    out = []
    for at, ((a, b), (examples, differences)) in enumerate(zip(pairs, shared, strict=True)):
        if at not in by_pair:
            out.append(PairFigures(a.name, b.name, 0, None, None, None, None, "not decided", 0, 0))
            continue
        p_value, p_adjusted = by_pair[at]
        difference = float(differences.mean())
        interval = difference_interval(differences, clusters[examples])
        a_only, b_only = int((differences > 0).sum()), int((differences < 0).sum())
        said = verdict(difference, interval, p_adjusted, margin)
        out.append(
            PairFigures(
                a.name, b.name, len(differences), difference, interval, p_value, p_adjusted, said, a_only, b_only
            )
        )
    return tuple(out)


def shared_differences(a: ArmResults, b: ArmResults) -> tuple[Ints, Floats]:
    """The examples that both were scored on, and a − b there."""
    examples, of_a, of_b = _both(a, b)
    return examples, of_a - of_b


def _both(a: ArmResults, b: ArmResults) -> tuple[Ints, Floats, Floats]:
    """The examples that both were scored on, and each one's grades there: an example's mean over its repeats."""
    size = int(max(a.example.max(initial=-1), b.example.max(initial=-1))) + 1
    of_a, of_b = by_example(a, size), by_example(b, size)
    examples = np.flatnonzero(~np.isnan(of_a + of_b))
    return examples, of_a[examples], of_b[examples]


def by_example(arm: ArmResults, size: int) -> Floats:
    """Each example's mean grade over its repeats; nan where it has none."""
    scored = ~np.isnan(arm.grade)
    counts = np.bincount(arm.example[scored], minlength=size)
    sums = np.bincount(arm.example[scored], weights=arm.grade[scored], minlength=size)
    with np.errstate(invalid="ignore"):
        means: Floats = sums / counts
    return means


def _within(arm: ArmResults, inside: NDArray[np.bool_]) -> ArmResults:
    """The arm on some examples only."""
    kept = np.flatnonzero(inside[arm.example])
    ledger = [row for row in arm.ledger if row.example >= 0 and inside[row.example]]
    return replace(arm, ledger=ledger, **entries([arm], kept))


def _sum(values: Sequence[Any], nothing: Any = None) -> Any:
    """The sum of what is known; `nothing` where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else nothing
