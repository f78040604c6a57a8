"""Where two candidates differ: the examples behind a pair's figures, with both answers and what they were given."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row

from ftvp_core.analysis.retrieval import diagnosis, is_gold
from ftvp_core.candidates.prompt import renderer
from ftvp_core.data import knowledge
from ftvp_core.data.examples import from_json
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import DIAGNOSES, Diagnosis, Example, Given, Message, Passage

Kind = Literal["first", "second", "neither"]
KINDS: tuple[Kind, ...] = ("first", "second", "neither")


@dataclass(frozen=True, slots=True)
class Answered:
    """A candidate's first answer to an example. `passages` are ids, the best first; `shots` too, each with its own."""

    output: str
    passages: tuple[str, ...] = ()
    shots: tuple[tuple[str, tuple[str, ...]], ...] = ()
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class Differing:
    """One example, answered by both."""

    kind: Kind
    example: Example
    first: Answered
    second: Answered


def differing(report: Report, store: Store, first: str, second: str) -> dict[Kind, list[Differing]]:
    """By kind: the first does better, the second does, both are wrong. Examples that both were scored on."""
    names = [candidate.name for candidate in report.spec.candidates]
    grades: dict[str, dict[int, list[float]]] = {first: {}, second: {}}
    answers: dict[str, dict[int, Answered]] = {first: {}, second: {}}
    by_arm = {names.index(name): name for name in (first, second)}
    for arm, name in by_arm.items():
        for row in store.results(report.run.id, arm=arm):
            if row.grade is not None:
                grades[name].setdefault(row.example, []).append(row.grade)
                answers[name].setdefault(row.example, _answered(report, row))
    found: dict[Kind, list[Differing]] = {kind: [] for kind in KINDS}
    for position, example in enumerate(report.eval_set.examples):
        kind = _kind(_mean(grades[first], position), _mean(grades[second], position))
        if kind is not None:
            one = Differing(kind, example, answers[first][position], answers[second][position])
            found[kind].append(one)
    return found


def diagnosed(report: Report, store: Store) -> dict[str, dict[Diagnosis, int]]:
    """By candidate that retrieves: how many graded answers, over the examples that name gold, are of each diagnosis."""
    counts = {candidate.name: Counter[Diagnosis]() for candidate in report.spec.candidates if candidate.retrieval}
    for row in store.results(report.run.id, texts=False):
        if row.arm < len(report.spec.candidates) and row.grade is not None:
            found = _diagnosis(report, row)
            if found is not None:
                counts[report.spec.candidates[row.arm].name][found] += 1
    return {name: {one: counted[one] for one in DIAGNOSES} for name, counted in counts.items() if counted}


def stored_passages(store: Store, key: str) -> Mapping[str, Passage]:
    """A stored knowledge's passages by id."""
    return {one.id: one for one in knowledge.from_json(store.body(key)).passages}


def stored_rows(store: Store, key: str) -> Mapping[str, Example]:
    """A stored training set's rows by id."""
    return {one.id: one for one in from_json(store.pieces(key)).examples}


def in_prompt(stored: Mapping[str, Passage], example: Example, answered: Answered) -> list[tuple[Passage, bool]]:
    """The passages of an answer's prompt, the best first, each with whether gold names it."""
    return [(stored[id_], is_gold(id_, example.gold)) for id_ in answered.passages]


def as_sent(
    report: Report,
    name: str,
    example: Example,
    answered: Answered,
    stored: Mapping[str, Passage],
    rows: Mapping[str, Example],
) -> tuple[Message, ...]:
    """The prompt of a candidate that asks a model; nothing for one that asks none.

    `stored` are the knowledge's passages and `rows` the training rows, by id.
    """
    candidate = report.spec.by_name(name)
    if candidate.model is None:
        return ()

    def texts(ids: Sequence[str]) -> tuple[Passage, ...]:
        return tuple(stored[id_] for id_ in ids)

    shots = tuple((rows[id_], texts(passages)) for id_, passages in answered.shots)
    given = Given(texts(answered.passages), shots)
    return renderer(candidate, f"candidate {name}", report.eval_set)(example, given).messages


def _answered(report: Report, row: Row[Any]) -> Answered:
    shots = tuple((id_, tuple(passages)) for id_, passages in row.shots or ())
    return Answered(row.output or "", tuple(row.passages or ()), shots, _diagnosis(report, row))


def _diagnosis(report: Report, row: Row[Any]) -> Diagnosis | None:
    gold = report.eval_set.examples[row.example].gold
    if not gold or report.spec.candidates[row.arm].retrieval is None:
        return None
    return diagnosis(row.passages or (), gold, row.grade)


def _mean(grades: Mapping[int, list[float]], position: int) -> float | None:
    values = grades.get(position)
    return sum(values) / len(values) if values else None


def _kind(first: float | None, second: float | None) -> Kind | None:
    if first is None or second is None:
        return None
    if first != second:
        return "first" if first > second else "second"
    return "neither" if first == 0 else None
