"""Arms beside the comparison: on the forgetting set, under load, and teachers' labels; in this order, after all others."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

from ftvp_core import grading
from ftvp_core.candidates.prompt import fields
from ftvp_core.data.checks import labels_of
from ftvp_core.errors import UserError
from ftvp_core.runs.arms import Arm, Labels, Sources
from ftvp_core.runs.learned_rows import rows_to_label
from ftvp_core.spec import Spec


def forgetting_arms(arms: Sequence[Arm], spec: Spec, sources: Sources) -> list[Arm]:
    """The side arms that are asked what may have been forgotten. Raises UserError for a prompt they can't be asked by.

    They are asked by the candidate's own prompt. A row's input also stands under the eval set's name for it.
    """
    asked = sources.forgetting_set
    if asked is None:
        return []
    names = [arm.candidate.name for arm in arms]
    graders = grading.build(spec.graders, labels_of(asked) or ())
    known = {"input", "context", sources.eval_set.mapping.input, *asked.examples[0].columns}
    found = []
    for side in spec.side_arms():
        candidate, prompt = side.candidate, side.candidate.prompt
        for column in fields(f"{prompt.system or ''}{prompt.user}"):
            if column not in known:
                raise UserError(
                    f"forgetting_set {asked.name}",
                    f"has no column {column!r}, which the prompt of {candidate.name} names",
                    "write {input} there, which every set has, or give it that column",
                )
        asks_alike = next(arm for arm in arms if arm.candidate.base().asks_as(candidate.base()))
        found.append(
            replace(
                asks_alike,
                candidate=candidate,
                examples=asked.examples,
                is_side=True,
                adapter_of=names.index(side.tuned) if side.tuned is not None else None,
                graders=graders,
            )
        )
    return found


def load_arms(spec: Spec, arms: Sequence[Arm]) -> list[Arm]:
    """Each server's candidate again at each level, on the eval set's first examples, over and over if it is short."""
    if spec.run.load is None:
        return []
    levels = spec.load_levels()
    if not levels:
        raise UserError("run.load", "there is no server's candidate to load", "leave it out")
    of_name = {arm.candidate.name: arm for arm in arms}
    asked = tuple(islice(cycle(arms[0].examples), spec.run.load.examples))
    return [
        replace(of_name[one.name], examples=asked, repeats=1, is_side=True, concurrency=level) for one, level in levels
    ]


def label_arms(arms: Sequence[Arm], sources: Sources) -> list[Arm]:
    """A side arm for each teacher: it labels all rows that its students train on, once for all of them.

    Raises UserError where the teacher can't be asked about a training row.
    """
    students: dict[tuple[str, int], list[int]] = {}
    for at, arm in enumerate(arms):
        if arm.candidate.tune and arm.candidate.tune.teacher:
            students.setdefault((arm.candidate.tune.teacher, arm.candidate.tune.answers_a_row), []).append(at)
    names = [arm.candidate.name for arm in arms]
    found = []
    for (name, answers), taught in students.items():
        assert sources.train_set is not None
        teacher = arms[names.index(name)]
        rows = rows_to_label([arms[at].candidate for at in taught], sources.train_set, sources.eval_set)
        if teacher.candidate.retrieval and teacher.candidate.retrieval.oracle and not all(row.gold for row in rows):
            raise UserError(
                f"candidate {names[taught[0]]}.tune.teacher",
                f"{name} is given gold passages (retrieval.oracle), and {sources.train_set.name} names none",
                "name a teacher that searches",
            )
        if rows:
            teacher.render(rows[0], teacher.planned)
        at = names.index(name)
        labels = Labels(at, tuple(taught))
        found.append(replace(teacher, examples=rows, repeats=answers, is_side=True, adapter_of=at, labels=labels))
    return found
