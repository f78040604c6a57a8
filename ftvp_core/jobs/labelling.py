"""A run's teachers: each labels its students' training rows, through the runner, before anything is tuned on them."""

import gc
from collections.abc import Callable
from dataclasses import dataclass

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.jobs.watch import Watch
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Calls
from ftvp_core.runs.learned_rows import tuning_rows
from ftvp_core.runs.runner import Runner
from ftvp_core.runs.underway import Opened
from ftvp_core.store.store import Store
from ftvp_core.training.distil import Learned, learned


class Untaught(Exception):
    """A student can't be tuned, and the run goes on without it; the text says why."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """`opened` gives what the arms need; its local models stay loaded as long as it lives."""

    plan: Plan
    store: Store
    run_id: str
    watch: Watch
    calls: Calls
    opened: Callable[[], Opened]

    def learned(self, student: int) -> Learned | None:
        """What a student learns from its teacher; None for an arm that has none. What is answered isn't asked again.

        Raises Untaught, and RunStopped for a cancel.
        """
        side = self.plan.labels_of(student)
        if side is None:
            return None
        name = self.plan.side_name(side)
        self.watch.begin(name, pauses=True)
        ended = self.calls.run(self._runner().run([side]))
        gc.collect()  # a local teacher is loaded again to answer; the training needs the memory
        if ended.state == "cancelled":
            raise RunStopped("cancelled")
        results = list(self.store.results(self.run_id, arm=side))
        # What was stopped before, such as another candidate's search, needn't have stopped these.
        if ended.state == "failed" or len(results) < self.plan.arms[side].calls:
            raise Untaught(f"{name}: {ended.cause}")
        candidate, sources = self.plan.arms[student].candidate, self.plan.sources
        assert candidate.tune is not None and sources.train_set is not None
        rows = tuning_rows(candidate.tune, sources.train_set, sources.eval_set)
        try:
            return learned(candidate, rows, self.plan.arms[side].examples, results)
        except UserError as error:
            raise Untaught(str(error)) from None

    def _runner(self) -> Runner:
        return Runner(self.plan, self.opened(), self.store, self.store.run(self.run_id), self.watch, self.calls)


def teachers_first(plan: Plan) -> list[int]:
    """The arms that are tuned, a teacher before those who learn from it."""
    ordered: list[int] = []

    def add(at: int) -> None:
        side = plan.labels_of(at)
        labels = plan.arms[side].labels if side is not None else None
        if labels is not None:
            add(labels.teacher)
        if plan.arms[at].candidate.tune is not None and at not in ordered:
            ordered.append(at)

    for at, arm in enumerate(plan.arms):
        if not arm.is_side:
            add(at)
    return ordered
