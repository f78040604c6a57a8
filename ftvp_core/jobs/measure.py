"""What a draft's trainings would take: a dry run that a page asks for and a worker carries out."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.drafts import read_knowledge_upload, read_upload
from ftvp_core.errors import FtvpError, unexpected
from ftvp_core.jobs.execute import index_of
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import RunSpec, Spec, dump, parse
from ftvp_core.store.measurements import ask, measurement, say, settle, take
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.tuned import cost_usd, measure

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Expected:
    """One tuned arm. Without `seconds` it isn't measured: `is_asked`, or failed with `error`, or nobody asked. What is
    asked `is_under_way` once a worker has it, and `waits` while that stands behind another training or ingestion. A
    student `is_later`: what it learns, its teacher hasn't answered yet.

    `rows` are trained on, `validation_rows` held out. `cost_usd` is None without the price of the device's hour.
    """

    key: str
    name: str
    is_asked: bool = False
    is_under_way: bool = False
    waits: bool = False
    is_later: bool = False
    error: str | None = None
    seconds: float | None = None
    memory_bytes: int | None = None
    device: str | None = None
    rows: int | None = None
    validation_rows: int | None = None
    cost_usd: Decimal | None = None


def expected(store: Store, plan: Plan) -> list[Expected]:
    """What is known of each training that a plan will do."""
    return [_expected(store, plan, at) for at in _tuned(plan)]


def ask_all(store: Store, plan: Plan) -> None:
    """Leave what isn't measured for a worker."""
    for at in _tuned(plan):
        if plan.labels_of(at) is None:
            alone = _alone(plan, at)
            ask(store, _key(plan, alone), {"spec": dump(alone), "folder": str(home() / "uploads")})


def measure_next(store: Store) -> bool:
    """Carry out the oldest that waits, if any does."""
    row = take(store)
    if row is None:
        return False
    try:
        spec, folder = parse(row.asked["spec"], "a candidate to measure"), Path(row.asked["folder"])
        plan = make_plan(spec, read_sources(spec, folder, read_upload, read_knowledge_upload))
        watch = _Watch(store, row.key)
        candidate, sources = plan.arms[0].candidate, plan.sources
        where, seed = f"candidate {candidate.name}", spec.run.seed
        index = index_of(watch, folder)
        lookup = open_lookup(candidate, where, sources.eval_set, sources.train_set, sources.knowledge, seed, index)
        settle(store, row.key, found=measure(plan, 0, lookup, folder, watch))
    except FtvpError as error:
        settle(store, row.key, error=str(error))
    except Exception as error:  # a defect of ours or of a library: named, logged, and the worker lives
        log.exception("measurement %s", row.key)
        settle(store, row.key, error=unexpected(error))
    return True


class _Watch:
    """Withdrawn is cancelled. The store is asked twice a second."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self._asked_at = 0.0
        self._cancelled = False
        self._waits = False

    def progress(self, done: int, total: int) -> None:
        """A dry run is over in a moment."""

    def waits(self, waits: bool) -> None:
        if waits != self._waits:
            self._waits = waits
            say(self._store, self._key, waits=waits)

    def cancelled(self) -> bool:
        if time.monotonic() - self._asked_at > ASK_EVERY_S:
            self._asked_at = time.monotonic()
            self._cancelled = measurement(self._store, self._key) is None
        return self._cancelled

    def paused(self) -> bool:
        return False


def _tuned(plan: Plan) -> list[int]:
    return [at for at, arm in enumerate(plan.arms) if arm.candidate.tune is not None and not arm.is_side]


def _expected(store: Store, plan: Plan, at: int) -> Expected:
    name = plan.arms[at].candidate.name
    if plan.labels_of(at) is not None:
        return Expected("", name, is_later=True)
    key = _key(plan, _alone(plan, at))
    row = measurement(store, key)
    if row is None:
        return Expected(key, name)
    if row.found is None:
        return Expected(key, name, row.error is None, row.is_under_way, row.waits, error=row.error)
    found = row.found
    return Expected(
        key,
        name,
        seconds=found["seconds"],
        memory_bytes=found["memory_bytes"],
        device=found["device"],
        rows=found["rows"],
        validation_rows=found["validation_rows"],
        cost_usd=cost_usd(plan.spec.prices, found["device"], found["seconds"]),
    )


def _alone(plan: Plan, at: int) -> Spec:
    """The comparison of this arm alone, so that what others say of themselves, and how they are asked, doesn't matter."""
    spec, candidate = plan.spec, plan.arms[at].candidate.model_copy(update={"name": "measured"})
    return Spec(
        name="measured",
        eval_set=spec.eval_set,
        train_set=spec.train_set,
        knowledge=spec.knowledge,
        providers=spec.providers,
        candidates=(candidate,),
        run=RunSpec(seed=spec.run.seed),
    )


def _key(plan: Plan, alone: Spec) -> str:
    sources = plan.sources
    data: Sequence[str] = [
        part.sha256 for part in (sources.eval_set, sources.train_set, sources.knowledge) if part is not None
    ]
    return hashlib.sha256("\x1f".join((dump(alone), *data)).encode()).hexdigest()
