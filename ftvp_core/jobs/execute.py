"""Carries out a stored run from its lease to its end: tune, index, answer. Put together here and nowhere else."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ftvp_core.candidates.lookup import IndexOf, Lookup, open_lookup
from ftvp_core.candidates.ranking import Index
from ftvp_core.errors import FtvpError, RunStopped, StoreFailed
from ftvp_core.jobs.watch import Progress, Watch
from ftvp_core.models import LocalModel
from ftvp_core.models.recorded import read_recorded
from ftvp_core.runs.plan import Plan, stored_plan
from ftvp_core.runs.runner import Ended, Runner
from ftvp_core.runs.underway import Opened
from ftvp_core.spec import RetrievalSpec
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.process import TrainingProcess, Watched

log = logging.getLogger(__name__)


def execute(store: Store, run_id: str, show: Progress | None = None, concurrency: int | None = None) -> Ended:
    """Run, or go on with, a stored run until it ends; a finished one sends nothing.

    Raises UserError when another living process works on it, LeaseLost when one has taken it up meanwhile, RunStopped
    when its end can't be written: it is left as by a killed process.
    """
    if store.run(run_id).state == "done":
        return Ended("done")
    store.lease(run_id)
    with Watch(store, run_id, show) as watch:
        ended = _until_it_ends(store, run_id, watch, concurrency)
    with suppress(StoreFailed):  # a resume settles them too
        store.settle_lost_attempts(run_id)
    try:
        store.finish(run_id, ended.state, ended.cause, ended.lag_s)
    except StoreFailed as error:
        raise RunStopped(f"run {run_id}: {error}; what finished is kept: make room, then go on with it") from None
    return ended


def _until_it_ends(store: Store, run_id: str, watch: Watch, concurrency: int | None) -> Ended:
    """Whatever happens, the run gets a state and a cause: this is the process's outermost frame."""
    import asyncio

    try:
        store.settle_lost_attempts(run_id)
        row = store.run(run_id)
        plan = stored_plan(store, row)
        opened = Opening(plan, store, run_id, watch).all()
        watch.begin("answering")
        in_flight = concurrency or plan.spec.run.concurrency
        runner = Runner(plan, opened, store, row, watch, in_flight)
        return asyncio.run(runner.run())
    except KeyboardInterrupt:
        cause = "cancelled"
    except FtvpError as error:
        cause = str(error)
    except SQLAlchemyError as error:
        cause = f"the store can't be read or written ({getattr(error, 'orig', error)})"
    except Exception as error:  # a defect of ours or of a library: named, logged, and the run is kept
        log.exception("run %s", run_id)
        cause = " ".join(f"unexpected {type(error).__name__}: {error}".split())
    if watch.cancelled() or cause == "cancelled":
        return Ended("cancelled", "cancelled")
    return Ended("partial" if store.finished(run_id) else "failed", cause)


class Opening:
    """Gets what a plan's arms need and what takes time: indexes, tuned adapters, loaded models."""

    def __init__(self, plan: Plan, store: Store, run_id: str, watch: Watch) -> None:
        self._plan = plan
        self._store = store
        self._run_id = run_id
        self._watch = watch
        self._folder = Path(store.run(run_id).folder)
        self._adapters: dict[int, Path] = {}
        self._index_of = index_of(watch, self._folder)

    def all(self) -> Opened:
        self._watch.begin("indexing")
        lookups = [self._lookup(at) for at in range(len(self._plan.arms))]
        with TrainingProcess() as process:  # the tuned arms' own, one after another: their base stays loaded
            for at, arm in enumerate(self._plan.arms):
                if arm.candidate.tune is not None:
                    self._watch.begin(f"training {arm.candidate.name}")
                    self._adapters[at] = self._tuned(at, lookups[at], process)
        return Opened(lookups, self._opener())

    def _lookup(self, at: int) -> Lookup:
        candidate, sources = self._plan.arms[at].candidate, self._plan.sources
        where, seed = f"candidate {candidate.name}", self._plan.spec.run.seed
        return open_lookup(
            candidate, where, sources.eval_set, sources.train_set, sources.knowledge, seed, self._index_of
        )

    def _tuned(self, at: int, lookup: Lookup, process: TrainingProcess) -> Path:
        from ftvp_core.training.tuned import tuned_adapter

        return tuned_adapter(self._plan, at, lookup, self._store, self._run_id, self._watch, process)

    def _opener(self) -> Callable[[int], LocalModel]:
        loaded: dict[str, object] = {}

        def open_local(at: int) -> LocalModel:
            candidate, sources = self._plan.arms[at].candidate, self._plan.sources
            if candidate.recorded:
                return read_recorded(sources.recorded[candidate.recorded], None)
            if candidate.floor:
                from ftvp_core.models.floor import Floor

                assert sources.train_set is not None
                return Floor(candidate.floor, sources.train_set.examples, self._plan.spec.run.seed)
            from ftvp_core.models.local import open_model, resolved

            tuned = self._adapters.get(at)
            if tuned is not None and candidate.tune is not None and candidate.tune.method == "full":
                return open_model(str(tuned), None, loaded)
            adapter = tuned or (self._folder / candidate.adapter if candidate.adapter else None)
            return open_model(resolved(candidate.model_name, self._folder), adapter, loaded)

        return open_local


def index_of(watch: Watched, folder: Path) -> IndexOf:
    """Builds or opens indexes in the store's home, watched; candidates that search alike share one.

    `folder` is the comparison file's: an embedder's path is relative to it.
    """
    opened: dict[tuple[tuple[str, ...], str, str], Index] = {}

    def index(texts: Sequence[str], retrieval: RetrievalSpec) -> Index:
        from ftvp_core.candidates.index import open_index

        if watch.cancelled():
            raise RunStopped("cancelled")
        key = (tuple(texts), retrieval.mode, retrieval.embedder)
        if key not in opened:
            opened[key] = open_index(texts, retrieval, home() / "chroma", folder, watch.progress)
        return opened[key]

    return index
