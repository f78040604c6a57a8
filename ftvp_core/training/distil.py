"""Distillation: which of a teacher's answers a student learns, and what they cost.

The teacher is asked through the runner like any candidate: here its stored answers are read. No answer is learned
that failed, is empty, or was cut at the teacher's `max_tokens`; then the student's filter chooses.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Row

from ftvp_core.errors import UserError
from ftvp_core.grading.texts import normal
from ftvp_core.runs.learned_rows import FEWEST_TUNING_ROWS
from ftvp_core.spec import Candidate, TuneSpec
from ftvp_core.types import Example

#: Why an answer isn't learned.
Dropped = Literal["failed", "empty", "cut", "wrong", "disagreed"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a teacher's answers to a student's rows came to: `rows` = answers + dropped.

    `unchecked` of the kept rows passed the filter `graders` because they hold nothing to be checked against.
    `cost_usd`: what the labels of these rows cost, also where the cache had them; None: unknown.
    """

    answers: Mapping[str, str]  # by row id
    dropped: Mapping[Dropped, int]
    unchecked: int
    cost_usd: Decimal | None

    def counts(self) -> dict[str, Any]:
        """As the store keeps it."""
        kept = len(self.answers)
        return {
            "rows": kept + sum(self.dropped.values()),
            "kept": kept,
            "dropped": dict(self.dropped),
            "unchecked": self.unchecked,
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
        }


def learned(
    student: Candidate, rows: Sequence[Example], labelled: Sequence[Example], results: Sequence[Row[Any]]
) -> Learned:
    """Filter a teacher's answers to a student's training `rows`. Raises UserError where fewer than 10 are left.

    `results` are of the teacher's side arm, which answered `labelled`: these rows, and those of other students.
    """
    assert student.tune is not None
    by_row: dict[str, list[Row[Any]]] = {}
    for result in results:
        by_row.setdefault(labelled[result.example].id, []).append(result)
    answers: dict[str, str] = {}
    dropped = Counter[Dropped]()
    unchecked = 0
    costs: list[Decimal | None] = []
    for row in rows:
        given = by_row.get(row.id, [])
        costs += [one.request_usd for one in given if one.output is not None]
        why = _dropped(row, given, student.tune)
        if why is not None:
            dropped[why] += 1
            continue
        answers[row.id] = given[0].output.strip()
        unchecked += student.tune.keep == "graders" and not _can_be_checked(row)
    _refuse_too_few(f"candidate {student.name}", student.tune, len(answers), dropped)
    known = [cost for cost in costs if cost is not None]
    return Learned(answers, dropped, unchecked, sum(known, Decimal(0)) if len(known) == len(costs) else None)


def _dropped(row: Example, given: Sequence[Row[Any]], tune: TuneSpec) -> Dropped | None:
    """Why the answers to a row aren't learned; None: the first of them is."""
    if len(given) < tune.answers_a_row or any(one.output is None for one in given):
        return "failed"
    if any(one.finish_reason == "length" for one in given):
        return "cut"
    if not given[0].output.strip():
        return "empty"
    if tune.keep == "graders" and _can_be_checked(row) and (given[0].grade is None or given[0].grade < 1):
        return "wrong"
    return "disagreed" if len({normal(one.output) for one in given}) > 1 else None


def _can_be_checked(row: Example) -> bool:
    return bool(row.references or row.assertions)


def _refuse_too_few(where: str, tune: TuneSpec, kept: int, dropped: Mapping[Dropped, int]) -> None:
    if kept >= FEWEST_TUNING_ROWS or (tune.force and kept):
        return
    why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "none"
    raise UserError(
        f"{where}.tune",
        f"found {kept} answers of {tune.teacher} to learn from, expected {FEWEST_TUNING_ROWS};"
        f" keep: {tune.keep} dropped {sum(dropped.values())} of {kept + sum(dropped.values())} ({why})",
        "mend the teacher, choose another filter, or add rows",
    )
