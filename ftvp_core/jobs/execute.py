"""Carries out a stored run from its lease to its end: tune, index, answer. Put together here and nowhere else."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ftvp_core.candidates.lookup import IndexOf, Lookup, open_label_lookup, open_lookup
from ftvp_core.candidates.ranking import Index
from ftvp_core.candidates.remote import RemoteOf
from ftvp_core.candidates.reranking import Reranked, open_cross_encoder
from ftvp_core.errors import CallFailed, FtvpError, RunStopped, StoreFailed, UserError, unexpected
from ftvp_core.jobs.labelling import Labelling, Untaught, teachers_first
from ftvp_core.jobs.outdated import remove_outdated
from ftvp_core.jobs.watch import Progress, Watch
from ftvp_core.models import LocalModel
from ftvp_core.models.recorded import read_recorded
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Calls, event_loop
from ftvp_core.runs.learned_rows import floor_rows
from ftvp_core.runs.runner import Ended, Runner
from ftvp_core.runs.searching import Searching
from ftvp_core.runs.stored import stored_plan
from ftvp_core.runs.underway import Opened
from ftvp_core.spec import RetrievalSpec, is_remote
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.process import TrainingProcess, Watched
from ftvp_core.types import Example, Given

log = logging.getLogger(__name__)


def execute(
    store: Store,
    run_id: str,
    show: Progress | None = None,
    concurrency: int | None = None,
    plan: Plan | None = None,
) -> Ended:
    """Run, or go on with, a stored run until it ends; a finished one sends nothing.

    `plan`: the stored one, where the caller has it already: reading it again takes a second for 40,000 rows. Raises UserError when another living process works on it, LeaseLost when one has taken it up meanwhile, RunStopped
    when its end can't be written: it is left as by a killed process.
    """
    if store.run(run_id).state == "done":
        return Ended("done")
    store.lease(run_id)
    with Watch(store, run_id, show) as watch:
        ended = _until_it_ends(store, run_id, watch, concurrency, plan)
    with suppress(StoreFailed):  # a resume settles them too
        store.settle_lost_attempts(run_id)
    try:
        store.finish(run_id, ended.state, ended.cause, ended.lag_s)
    except StoreFailed as error:
        raise RunStopped(f"run {run_id}: {error}; what finished is kept: make room, then go on with it") from None
    with suppress(RunStopped, UserError):  # the run has ended; what isn't removed now is removed by a later one
        remove_outdated(store, run_id)
    return ended


def _until_it_ends(store: Store, run_id: str, watch: Watch, concurrency: int | None, plan: Plan | None) -> Ended:
    """Whatever happens, the run gets a state and a cause: this is the process's outermost frame."""
    import asyncio

    try:
        store.settle_lost_attempts(run_id)
        row = store.run(run_id)
        plan = plan or stored_plan(store, row)
        with asyncio.Runner(loop_factory=event_loop) as loop:
            calls = Calls(store, row, watch, concurrency or plan.spec.run.concurrency, loop)
            searching = Searching(plan, calls, store, run_id)
            try:
                opening = Opening(plan, store, run_id, watch, calls, searching)
                opened = opening.all()
                watch.begin("answering", pauses=True)
                ended = calls.run(Runner(plan, opened, store, row, watch, calls).run(opening.able))
                return _without(opening.untaught.values(), ended)
            finally:
                calls.run(searching.close())
    except KeyboardInterrupt:
        cause = "cancelled"
    except FtvpError as error:
        cause = str(error)
    except SQLAlchemyError as error:
        cause = f"the store can't be read or written ({getattr(error, 'orig', error)})"
    except Exception as error:  # a defect of ours or of a library: named, logged, and the run is kept
        log.exception("run %s", run_id)
        cause = unexpected(error)
    if watch.cancelled() or cause == "cancelled":
        return Ended("cancelled", "cancelled")
    return Ended("partial" if store.finished(run_id) else "failed", cause)


def _without(causes: Iterable[str], ended: Ended) -> Ended:
    """The end of a run that went on without some students."""
    said = [*dict.fromkeys(causes)]
    if ended.state == "cancelled" or not said:
        return ended
    state = "partial" if ended.state == "done" else ended.state
    return Ended(state, "; ".join([*said, *([ended.cause] if ended.cause else [])]), ended.lag_s)


class Opening:
    """Gets what a plan's arms need and what takes time: indexes, teachers' labels, tuned adapters, loaded models.

    `untaught`: arms that the run goes on without, and why.
    """

    def __init__(self, plan: Plan, store: Store, run_id: str, watch: Watch, calls: Calls, searching: Searching) -> None:
        self._plan = plan
        self._store = store
        self._run_id = run_id
        self._watch = watch
        self._folder = Path(store.run(run_id).folder)
        self._calls = calls
        self._adapters: dict[int, Path] = {}
        self._searching = searching
        self._index_of = index_of(watch, self._folder, searching.embedder)
        self.untaught: dict[int, str] = {}

    @property
    def able(self) -> list[int]:
        """The arms to be answered now: labels have been, before what is tuned on them."""
        return [
            at
            for at, arm in enumerate(self._plan.arms)
            if arm.labels is None and self._plan.trained(at) not in self.untaught
        ]

    def all(self) -> Opened:
        self._watch.begin("indexing", pauses=any(arm.embeds for arm in self._plan.arms))
        lookups = [self._lookup(at) for at in range(len(self._plan.arms))]

        def opened() -> Opened:
            return Opened(lookups, self._opener(), self._searching.usd)

        labelling = Labelling(self._plan, self._store, self._run_id, self._watch, self._calls, opened)
        with TrainingProcess() as process:  # the tuned arms' own, one after another: their base stays loaded
            for at in teachers_first(self._plan):
                try:
                    self._adapters[at] = self._kept(at) or self._tuned(at, lookups[at], labelling, process)
                except Untaught as why:
                    self.untaught[at] = str(why)
                except CallFailed as failure:  # of a search for its training rows
                    self.untaught[at] = f"candidate {self._plan.arms[at].candidate.name}: {failure}"
        return opened()

    def _lookup(self, at: int) -> Lookup:
        try:
            return arm_lookup(self._plan, at, partial(self._ranked_index, at))
        except CallFailed as failure:
            return self._unopened(at, failure)

    def _unopened(self, at: int, failure: CallFailed) -> Lookup:
        """A server that its search needs doesn't embed the passages: the arm's rows stay unfinished, others go on."""
        name = self._plan.arms[at].candidate.name
        cause = CallFailed(str(failure), outcome=failure.outcome, stops=failure.stops or "model")
        self._searching.leave_out(name, cause)

        def refuse(examples: Sequence[Example]) -> list[Given]:
            raise cause

        return refuse

    def _ranked_index(self, at: int, texts: Sequence[str], retrieval: RetrievalSpec) -> Index:
        """The index of an arm; its re-ranking by a server goes through the ledger."""
        if not self._plan.arms[at].reranks:
            return self._index_of(texts, retrieval)
        searched = self._index_of(texts, retrieval.model_copy(update={"rerank": None}))
        return Reranked(searched, texts, partial(self._searching.rank, at))

    def _kept(self, at: int) -> Path | None:
        """The adapter that a student has in this run already: labels that come later don't change who answers."""
        done = self._store.tunings(self._run_id).get(at)
        if done is None or done.seconds is None or done.labels is None or not Path(done.adapter).exists():
            return None
        return Path(done.adapter)

    def _tuned(self, at: int, lookup: Lookup, labelling: Labelling, process: TrainingProcess) -> Path:
        from ftvp_core.training.tuned import tuned_adapter

        side = self._plan.labels_of(at)
        labels = self._plan.arms[side].labels if side is not None else None
        if labels is not None and labels.teacher in self.untaught:
            raise Untaught(f"candidate {self._plan.arms[at].candidate.name}: its teacher isn't tuned")
        if labels is not None and not self._plan.arms[labels.teacher].is_remote:
            process.end()  # a teacher on this machine needs the memory
        learned = labelling.learned(at)
        self._watch.begin(f"training {self._plan.arms[at].candidate.name}", pauses=True)
        return tuned_adapter(self._plan, at, lookup, self._store, self._run_id, self._watch, process, learned)

    def _opener(self) -> Callable[[int], LocalModel]:
        loaded: dict[str, object] = {}

        def open_local(at: int) -> LocalModel:
            arm, sources = self._plan.arms[at], self._plan.sources
            candidate = arm.candidate
            if candidate.recorded:
                return read_recorded(sources.recorded[candidate.recorded], None)
            if candidate.floor:
                from ftvp_core.models.floor import Floor

                assert sources.train_set is not None
                rows = floor_rows(candidate.train, sources.train_set, sources.eval_set)
                return Floor(candidate.floor, rows, self._plan.spec.run.seed)
            from ftvp_core.models.local import open_model, resolved

            tuned = self._adapters.get(self._plan.trained(at))
            if tuned is not None and candidate.tune is not None and candidate.tune.method == "full":
                return open_model(str(tuned), None, loaded)
            adapter = tuned or (self._folder / candidate.adapter if candidate.adapter else None)
            return open_model(resolved(candidate.model_name, self._folder), adapter, loaded)

        return open_local


def arm_lookup(plan: Plan, at: int, index_of: IndexOf) -> Lookup:
    """An arm's Lookup; a teacher's for training rows. Raises UserError."""
    arm, sources = plan.arms[at], plan.sources
    where, seed = f"candidate {arm.candidate.name}", plan.spec.run.seed
    if arm.labels is None:
        return open_lookup(arm.candidate, where, sources.eval_set, sources.train_set, sources.knowledge, seed, index_of)
    assert sources.train_set is not None
    return open_label_lookup(
        arm.candidate, where, sources.eval_set, sources.train_set, sources.knowledge, seed, index_of
    )


def index_of(watch: Watched, folder: Path, remote_of: RemoteOf | None = None) -> IndexOf:
    """Builds or opens indexes in the store's home, watched; candidates that search alike share one.

    `folder` is the comparison file's: an embedder's path is relative to it.
    """
    opened: dict[tuple[tuple[str, ...], str, str], Index] = {}
    cross_encoder = cache(partial(open_cross_encoder, folder=folder))

    def progress(done: int, total: int) -> None:
        watch.progress(done, total)
        if watch.cancelled():
            raise RunStopped("cancelled")

    def index(texts: Sequence[str], retrieval: RetrievalSpec) -> Index:
        from ftvp_core.candidates.index import open_index

        if watch.cancelled():
            raise RunStopped("cancelled")
        key = (tuple(texts), retrieval.mode, retrieval.embedder)
        if key not in opened:
            opened[key] = open_index(texts, retrieval, home() / "chroma", folder, progress, remote_of, watch)
        if retrieval.rerank is None:
            return opened[key]
        if is_remote(retrieval.rerank):
            where = f"retrieval.rerank {retrieval.rerank}"
            raise UserError(where, "a server's re-ranking is accounted for by a run", "use the command run")
        return Reranked(opened[key], texts, cross_encoder(retrieval.rerank).rank)

    return index
