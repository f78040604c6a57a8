"""Where two candidates differ: the examples behind a pair's figures, with both answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import Example

Kind = Literal["first", "second", "neither"]
KINDS: tuple[Kind, ...] = ("first", "second", "neither")


@dataclass(frozen=True, slots=True)
class Differing:
    """One example. `answers` are of the first repeat."""

    kind: Kind
    example: Example
    first: str
    second: str


def differing(report: Report, store: Store, first: str, second: str) -> dict[Kind, list[Differing]]:
    """By kind: the first does better, the second does, both are wrong. Examples that both were scored on."""
    names = [candidate.name for candidate in report.spec.candidates]
    grades: dict[str, dict[int, list[float]]] = {first: {}, second: {}}
    answers: dict[str, dict[int, str]] = {first: {}, second: {}}
    by_arm = {names.index(name): name for name in (first, second)}
    for row in store.results(report.run.id):
        name = by_arm.get(row.arm)
        if name is not None and row.grade is not None:
            grades[name].setdefault(row.example, []).append(row.grade)
            answers[name].setdefault(row.example, row.output or "")
    found: dict[Kind, list[Differing]] = {kind: [] for kind in KINDS}
    for position, example in enumerate(report.eval_set.examples):
        kind = _kind(_mean(grades[first], position), _mean(grades[second], position))
        if kind is not None:
            one = Differing(kind, example, answers[first][position], answers[second][position])
            found[kind].append(one)
    return found


def _mean(grades: Mapping[int, list[float]], position: int) -> float | None:
    values = grades.get(position)
    return sum(values) / len(values) if values else None


def _kind(first: float | None, second: float | None) -> Kind | None:
    if first is None or second is None:
        return None
    if first != second:
        return "first" if first > second else "second"
    return "neither" if first == 0 else None
