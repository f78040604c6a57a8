"""Trains one candidate's adapter alone, in this process: the first half of its run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.errors import UserError
from ftvp_core.jobs.execute import index_of
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import load
from ftvp_core.training.tuned import Tuning, make_adapter


@dataclass(frozen=True, slots=True)
class Shown:
    """Who watches here: a progress bar. It is stopped by the process's own end."""

    progress: Callable[[int, int], None]

    def waits(self, waits: bool) -> None:
        """The bar stands still meanwhile."""

    def cancelled(self) -> bool:
        return False

    def paused(self) -> bool:
        return False


def train(
    file: Path, name: str, progress: Callable[[int, int], None], measured: Callable[[Plan, Tuning], None]
) -> Tuning:
    """The finished training of a comparison file's candidate, or of a sweep's point. Raises UserError.

    What only other candidates need, such as their keys, isn't asked for. `measured` is told once what the training will
    take, before it starts.
    """
    spec = load(file)
    candidate = next((arm for arm in spec.arms() if arm.name == name), None)
    if candidate is None:
        known = ", ".join(arm.name for arm in spec.arms())
        raise UserError(str(file), f"there is no candidate {name!r}", f"expected one of {known}")
    if candidate.tune is None:
        raise UserError(f"{file}: candidate {name}", "has no tune, so there is nothing to train", "add tune: {}")
    if candidate.tune.teacher:
        raise UserError(
            f"{file}: candidate {name}",
            f"learns from {candidate.tune.teacher}'s answers, which are asked and paid for in a run",
            "use run: it tunes the candidate, and keeps the adapter",
        )
    run = spec.run.model_copy(update={"load": None})  # for servers alone
    alone = spec.model_copy(update={"candidates": (candidate,), "sweeps": (), "forgetting_set": None, "run": run})
    sources = read_sources(alone, file.parent)
    plan = make_plan(alone, sources)
    watch = Shown(progress)
    lookup = open_lookup(
        candidate,
        f"candidate {name}",
        sources.eval_set,
        sources.train_set,
        sources.knowledge,
        spec.run.seed,
        index_of(watch, file.parent),
    )
    told: list[Tuning] = []

    def keep(tuning: Tuning) -> None:
        if tuning.expected_s is not None and all(before.expected_s is None for before in told):
            measured(plan, tuning)
        told.append(tuning)

    make_adapter(plan, 0, lookup, file.parent, keep, watch)
    return told[-1]
