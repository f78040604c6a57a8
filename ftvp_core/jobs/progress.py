"""How far a run is, for those who watch it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Row

from ftvp_core.models.openai_batches import WINDOW_S
from ftvp_core.spec import parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import JsonMode


@dataclass(frozen=True, slots=True)
class ArmProgress:
    """One candidate, or what is asked beside the comparison: a forgetting set, or (`is_labels`) a teacher.

    `rate_per_s` and `left_s` are of its own calls; None while it has none or isn't worked on, and of one that
    `is_batched`: how soon a batch is answered isn't known.

    `failures`: causes of failed attempts and how often each came, the commonest first. `json_modes`: how its answers
    came to be JSON, if it has an output schema.
    """

    name: str
    total: int
    done: int = 0
    failed: int = 0
    from_cache: int = 0
    rate_per_s: float | None = None
    left_s: float | None = None
    attempts: int = 0
    retries: int = 0
    spent_usd: Decimal | None = None
    reserved_usd: Decimal | None = None
    failures: Sequence[tuple[str, int]] = ()
    json_modes: Mapping[JsonMode, int] = field(default_factory=dict)
    is_labels: bool = False
    is_batched: bool = False


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """One batch at its provider: its state in the provider's words, and how many of its requests have ended.

    `age_s`: seconds since it was made; `left_s`: until it ends at the latest, by its window.
    """

    model: str
    state: str
    requests: int
    completed: int
    failed: int
    is_open: bool
    age_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Training:
    """A tuned arm's. `losses` and `validation` are (step, loss); None is what isn't known (yet)."""

    losses: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    is_finished: bool
    rows: int
    validation_rows: int | None
    best_step: int | None
    device: str | None
    tokens_per_s: float | None
    memory_bytes: int | None
    expected_s: float | None
    expected_bytes: int | None


#: What of that the store keeps under the same name.
_SAID = ("validation_rows", "best_step", "device", "tokens_per_s", "memory_bytes", "expected_s", "expected_bytes")


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`rate_per_s` and `left_s` are of the phase under way; None before anything is done in it, or where its rest is
    in batches. It `waits` behind another training or ingestion on its machine.

    `stopped`: providers and models that the run goes on without, each with its cause.
    """

    state: str
    cause: str | None
    phase: str
    waits: bool
    pauses: bool
    paused: bool
    done: int
    total: int
    rate_per_s: float | None
    left_s: float | None
    spent_usd: Decimal
    reserved_usd: Decimal
    limit_usd: Decimal | None
    arms: Sequence[ArmProgress]
    stopped: Sequence[str]
    trainings: Mapping[str, Training]
    planned_trainings: int
    batches: Sequence[BatchProgress] = ()

    @property
    def trains(self) -> bool:
        return self.phase.startswith("training ")

    @property
    def is_live(self) -> bool:
        return self.state in {"queued", "running"}

    @property
    def can_pause(self) -> bool:
        """Indexing goes on to its end, or is cancelled."""
        return self.state == "running" and (self.phase == "paused" or self.pauses)

    @property
    def failed(self) -> int:
        """Rows that a retry asks again: no labels, for what is tuned isn't tuned anew."""
        return sum(arm.failed for arm in self.arms if not arm.is_labels)


def run_progress(store: Store, run_id: str) -> RunProgress:
    """Raises UserError where there is no such run."""
    run = store.run(run_id)
    spec = parse(run.spec, f"run {run_id}")
    each = store.set_size(run.eval_set) * spec.run.repeats
    asked = [_Asked(arm.name, each, False, spec.is_batched(arm)) for arm in spec.arms()]
    asked += [_side(side, asked) for side in run.sides or ()]
    arms = _arms(store, run, asked)
    said = run.progress or {}
    works = run.state == "running"
    done, total = said.get("done", 0), said.get("total", 0)
    in_batches = any(
        arm.is_batched and arm.done < arm.total for arm in arms if said.get("phase") in {"answering", arm.name}
    )
    trainings = {spec.arms()[at].name: _training(tuning) for at, tuning in store.tunings(run_id).items()}
    return RunProgress(
        state=run.state,
        cause=run.cause,
        phase=_phase(run),
        waits=works and bool(said.get("waits")),
        pauses=_pauses(run),
        paused=works and run.pause,
        done=done if works else sum(arm.done for arm in arms),
        total=total if works and total else sum(arm.total for arm in arms),
        rate_per_s=None if in_batches else _rate_of(run),
        left_s=None if in_batches else left_s(run),
        spent_usd=run.spent_usd,
        reserved_usd=run.reserved_usd,
        limit_usd=run.limit_usd,
        arms=arms,
        stopped=said.get("stopped", ()) if works else (),
        trainings=trainings,
        planned_trainings=sum(arm.tune is not None for arm in spec.arms()),
        batches=_batches(store, run_id),
    )


def left_s(run: RunRow) -> float | None:
    """Seconds that the phase under way has left at its rate so far; None before anything is done in it."""
    said, rate = run.progress or {}, _rate_of(run)
    return (said.get("total", 0) - said.get("done", 0)) / rate if rate else None


def _rate_of(run: RunRow) -> float | None:
    """Of the phase under way, a second, without what was there before it."""
    said = run.progress or {}
    if run.state != "running" or run.pause:
        return None
    return _rate(said.get("done", 0) - (said.get("done_before") or 0), said.get("since"))


def _batches(store: Store, run_id: str) -> list[BatchProgress]:
    now = time.time()
    return [
        BatchProgress(
            one.model,
            one.state.replace("_", " "),
            one.requests,
            one.completed,
            one.failed,
            is_open=not one.settled,
            age_s=now - one.planned_at,
            left_s=one.planned_at + WINDOW_S - now,
        )
        for one in store.batches(run_id)
        if one.requests
    ]


def _phase(run: RunRow) -> str:
    if run.state == "queued":
        return "waiting for a worker"
    if run.state != "running":
        return run.state
    phase = str((run.progress or {}).get("phase", "starting"))
    return "paused" if run.pause and _pauses(run) else phase


def _training(row: Row[Any]) -> Training:
    about = row.about or {}
    return Training(
        losses=[(int(step), float(loss)) for step, loss in row.log],
        validation=[(int(step), float(loss)) for step, loss in about.get("validation", ())],
        is_finished=row.seconds is not None,
        rows=row.rows,
        **{key: about.get(key) for key in _SAID},
    )


def _pauses(run: RunRow) -> bool:
    return bool((run.progress or {}).get("pauses"))


class _Asked(NamedTuple):
    """What is asked of an arm."""

    name: str
    calls: int
    is_labels: bool
    is_batched: bool


def _side(side: Mapping[str, Any], arms: Sequence[_Asked]) -> _Asked:
    labels = side["labels"]
    return _Asked(side["name"], side["calls"], labels is not None, bool(labels) and arms[labels["teacher"]].is_batched)


def _arms(store: Store, run: RunRow, asked: Sequence[_Asked]) -> list[ArmProgress]:
    """`asked`: in the arms' order, side arms last."""
    since = (run.progress or {}).get("since", 0.0)
    counts, attempts = store.counts(run.id, since), store.attempt_counts(run.id)
    failures: dict[int, list[tuple[str, int]]] = {at: [] for at in range(len(asked))}
    for at, cause, times in store.failures(run.id):
        failures[at].append((cause, times))
    modes = store.json_modes(run.id)
    is_answering = run.state == "running" and not run.pause
    return [
        ArmProgress(
            name,
            calls,
            failures=failures[at],
            json_modes=modes.get(at, {}),
            is_labels=is_labels,
            is_batched=is_batched,
            **_done(counts.get(at), calls, is_answering and not is_batched),
            **_sent(attempts.get(at)),
        )
        for at, (name, calls, is_labels, is_batched) in enumerate(asked)
    ]


def _done(row: Row[Any] | None, each: int, is_answering: bool) -> Mapping[str, Any]:
    if row is None:
        return {}
    rate = _rate(row.fresh, row.fresh_at) if is_answering and row.done < each else None
    return {
        "done": row.done,
        "failed": row.failed,
        "from_cache": row.from_cache,
        "rate_per_s": rate,
        "left_s": (each - row.done) / rate if rate else None,
    }


def _sent(row: Row[Any] | None) -> Mapping[str, Any]:
    if row is None:
        return {}
    return {
        "attempts": row.attempts,
        "retries": row.retries,
        "spent_usd": row.spent,
        "reserved_usd": row.reserved,
    }


def _rate(done: int, since: float | None) -> float | None:
    passed = time.time() - since if since is not None else 0.0
    return done / passed if done > 0 and passed > 0 else None
