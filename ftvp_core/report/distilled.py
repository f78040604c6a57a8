"""Distillations of a run: teacher, student before and after, what was learned, and the same in words."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from ftvp_core.analysis.comparison import ArmResults, LedgerRow, retained
from ftvp_core.analysis.intervals import Ints
from ftvp_core.analysis.paired import pair_of
from ftvp_core.report import figures
from ftvp_core.spec import Spec
from ftvp_core.types import Billed, CandidateFigures, Comparison, Distillation, Tokens

#: A teacher's model may forbid it: said wherever a distillation is begun or shown.
LICENCE = (
    "Some providers' terms and model licences forbid training another model on their answers: read the teacher's first."
)
#: Why an answer isn't learned, in words.
REASONS = {
    "failed": "failed", "empty": "empty", "cut": "cut at max_tokens", "wrong": "found wrong by the graders",
    "disagreed": "not agreed on",
}  # fmt: skip


def labels_of(sides: Sequence[Mapping[str, Any]] | None) -> dict[int, int]:
    """By student's position, the position of the side arm that labels for it, of a run's `sides`."""
    return {student: side["arm"] for side in sides or () if side["labels"] for student in side["labels"]["students"]}


def billed(rows: Sequence[Row[Any]], priced: bool) -> Billed:
    """A side arm's ledger, summed."""

    def total(key: str) -> Any:
        known = [value for row in rows if (value := getattr(row, key)) is not None]
        return sum(known[1:], known[0]) if known else None

    cost = total("cost_usd")
    return Billed(
        (total("attempts") or 0) + (total("other_attempts") or 0),
        total("cost_unknown") or 0,
        cost if cost is not None or not priced else Decimal(0),
        Tokens(total("input"), total("cached_input"), total("output")),
    )


def as_ledger(labels: Billed) -> LedgerRow:
    """Labels in their student's ledger: attempts that are none of its own, and cost nothing there."""
    return LedgerRow(-1, 0, labels.attempts, labels.cost_unknown, None, Tokens(None, None, None))


def with_labels(training_usd: Decimal | None, counts: Mapping[str, Any] | None) -> Decimal | None:
    """What it takes to make a student: the machine's time and its labels; None where a part isn't known."""
    if counts is None or training_usd is None:
        return training_usd
    labels = counts["cost_usd"]
    return None if labels is None else training_usd + Decimal(labels)


def distillations(
    spec: Spec,
    arms: Sequence[ArmResults],
    clusters: Ints,
    labels: Mapping[int, Billed],
    counts: Mapping[int, Mapping[str, Any] | None],
    tokens: Mapping[int, float | None],
) -> tuple[Distillation, ...]:
    """Of the candidates in the file's order. `labels`, `counts` and `tokens` (a request's) are by position."""
    names = [one.name for one in spec.candidates]
    found = []
    for at, student in enumerate(spec.candidates):
        if student.tune is None or student.tune.teacher is None:
            continue
        teacher = names.index(student.tune.teacher)
        learned = counts.get(at) or {}
        base = spec.base_of(student)
        untuned = base.name if base else None
        found.append(
            Distillation(
                student.name,
                student.tune.teacher,
                untuned,
                student.tune.keep,
                student.tune.answers_a_row,
                learned.get("rows"),
                learned.get("kept"),
                learned.get("dropped", {}),
                learned.get("unchecked", 0),
                retained(arms[at], arms[teacher], clusters),
                {
                    name: tokens.get(at)
                    for at, name in enumerate(names)
                    if name in {student.name, names[teacher], untuned}
                },
                labels.get(at, Billed(0, 0, Decimal(0), Tokens(None, None, None))),
            )
        )
    return tuple(found)


def sentences(one: Distillation, comparison: Comparison) -> tuple[str, ...]:
    """What can be said of a distillation, and no more than the intervals allow."""
    by_name = {each.name: each for each in comparison.candidates}
    student, teacher = by_name[one.student], by_name[one.teacher]
    return (*_kept(one, student, teacher), *_gained(one, comparison), *_learned(one))


def _kept(one: Distillation, student: CandidateFigures, teacher: CandidateFigures) -> tuple[str, ...]:
    if student.accuracy is None or teacher.accuracy is None:
        return ()
    if one.retained is None:
        return (f"{one.teacher} isn't right once where {one.student} was scored too: there was nothing to keep.",)
    share = figures.with_interval(one.retained.value, one.retained.interval)
    price = _shares(one, student, teacher)
    at = f", at {' and '.join([', '.join(price[:-1]), price[-1]] if len(price) > 1 else price)}" if price else ""
    return (f"{one.student} keeps {share} of {one.teacher}'s accuracy{at}.",)


def _shares(one: Distillation, student: CandidateFigures, teacher: CandidateFigures) -> list[str]:
    """The student's tokens, cost and time in percent of the teacher's; what isn't known is left out."""
    latency = [each.latency_s.p50 if each.latency_s else None for each in (student, teacher)]
    parts = (
        ("tokens", one.tokens_a_request[one.student], one.tokens_a_request[one.teacher]),
        ("cost a request", student.cost_per_1k_usd, teacher.cost_per_1k_usd),
        ("median time", *latency),
    )
    return [
        f"{figures.percent(float(mine) / float(its))} of its {what}"
        for what, mine, its in parts
        if mine is not None and its
    ]


def _gained(one: Distillation, comparison: Comparison) -> tuple[str, ...]:
    """Against the same model before it was tuned."""
    pair = pair_of(comparison.pairs, one.student, one.before) if one.before else None
    if pair is None or pair.difference is None or pair.interval is None:
        return ()
    verdict = "" if pair.verdict == "better" else "; not shown better"
    return (
        f"Against {one.before}, the same untuned: {figures.points(pair.difference, pair.interval)} points{verdict}.",
    )


def _learned(one: Distillation) -> tuple[str, ...]:
    if one.rows is None or one.kept is None:
        return (f"{one.student} hasn't learned from {one.teacher}: its training hasn't ended.",)
    why = ", ".join(f"{n:,} {REASONS.get(reason, reason)}" for reason, n in one.dropped.items())
    left = f"; left out: {why}" if why else ""
    unchecked = f"; {one.unchecked:,} had nothing to be checked against" if one.unchecked else ""
    return (f"It learned {one.kept:,} of {one.teacher}'s {one.rows:,} answers{left}{unchecked}.",)
