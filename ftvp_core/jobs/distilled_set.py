"""What a student learned, as a file to tune with elsewhere."""

import json
from dataclasses import dataclass
from pathlib import Path

from ftvp_core import grading
from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.candidates.prompt import renderer
from ftvp_core.errors import UserError
from ftvp_core.jobs.execute import index_of
from ftvp_core.runs.arms import Arm, Plan
from ftvp_core.runs.learned_rows import rows_to_label, tuning_rows
from ftvp_core.runs.stored import stored_sources
from ftvp_core.spec import Spec, parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.training.distil import learned
from ftvp_core.training.rows import training_rows
from ftvp_core.types import Given


@dataclass(frozen=True, slots=True)
class Unwatched:
    def progress(self, done: int, total: int) -> None:
        pass

    def waits(self, waits: bool) -> None:
        pass

    def cancelled(self) -> bool:
        return False

    def paused(self) -> bool:
        return False


def distilled_set(store: Store, run_id: str, name: str | None = None) -> str:
    """JSONL in OpenAI's chat format, a row a line: the student's own prompt, and the answer that it learned.

    Needs no provider's key. `name`: which student, where the run has several. Raises UserError.
    """
    run = store.run(run_id)
    spec = parse(run.spec, f"run {run_id}")
    at = _student(run, spec, name)
    side, students = next(
        (each["arm"], each["labels"]["students"])
        for each in run.sides or ()
        if each["labels"] and at in each["labels"]["students"]
    )
    candidate, sources = spec.arms()[at], stored_sources(store, run)
    assert candidate.tune is not None and sources.train_set is not None
    labelled = rows_to_label([spec.arms()[each] for each in students], sources.train_set, sources.eval_set)
    rows = tuning_rows(candidate.tune, sources.train_set, sources.eval_set)
    answers = learned(candidate, rows, labelled, list(store.results(run_id, arm=side))).answers
    where = f"candidate {candidate.name}"
    arm = Arm(candidate, (), renderer(candidate, where, sources.eval_set), None, Given(), 1)
    plan = Plan(spec, sources, (arm,), grading.build(spec.graders, ()), None)
    lookup = open_lookup(
        candidate, where, sources.eval_set, sources.train_set, sources.knowledge, spec.run.seed,
        index_of(Unwatched(), Path(run.folder)),
    )  # fmt: skip
    chats = (
        [*(message._asdict() for message in row.messages), {"role": "assistant", "content": row.answer}]
        for row in training_rows(plan, 0, lookup, answers)
    )
    return "".join(json.dumps({"messages": chat}, ensure_ascii=False) + "\n" for chat in chats)


def _student(run: RunRow, spec: Spec, name: str | None) -> int:
    taught = [at for at, one in enumerate(spec.arms()) if one.tune and one.tune.teacher]
    names = [spec.arms()[at].name for at in taught]
    if not taught:
        raise UserError(f"run {run.id}", "no candidate learned from another's answers", "give one tune.teacher")
    if name is None and len(taught) > 1:
        raise UserError(f"run {run.id}", f"has {len(taught)} students", f"name one: {', '.join(names)}")
    if name is not None and name not in names:
        raise UserError(f"run {run.id}", f"found no student {name!r}", f"expected one of {', '.join(names)}")
    return taught[0] if name is None else taught[names.index(name)]
