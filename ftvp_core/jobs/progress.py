"""How far a run is, for those who watch it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from ftvp_core.spec import Spec, parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import JsonMode


@dataclass(frozen=True, slots=True)
class ArmProgress:
    """One candidate. `rate_per_s` and `left_s` are of its own calls; None while it has none or isn't worked on.

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


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """One batch at its provider: its state in the provider's words, and how many of its requests have ended."""

    model: str
    state: str
    requests: int
    completed: int
    failed: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`rate_per_s` and `left_s` are of the phase under way; None before anything is done in it.

    `stopped`: providers and models that the run goes on without, each with its cause.
    """

    state: str
    cause: str | None
    phase: str
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
    losses: dict[str, list[tuple[int, float]]]
    batches: Sequence[BatchProgress] = ()

    @property
    def is_live(self) -> bool:
        return self.state in {"queued", "running"}

    @property
    def can_pause(self) -> bool:
        """Training and indexing go on to their end, or are cancelled."""
        return self.state == "running" and self.phase in {"answering", "paused"}

    @property
    def failed(self) -> int:
        return sum(arm.failed for arm in self.arms)


def run_progress(store: Store, run_id: str) -> RunProgress:
    """Raises UserError where there is no such run."""
    run = store.run(run_id)
    spec = parse(run.spec, f"run {run_id}")
    arms = _arms(store, run, _planned(store, run, spec))
    said = run.progress or {}
    works = run.state == "running"
    done, total = said.get("done", 0), said.get("total", 0)
    fresh = done - (said.get("done_before") or 0)
    rate = _rate(fresh, said.get("since")) if works and not run.pause else None
    losses = {
        spec.arms()[at].name: [(int(step), float(loss)) for step, loss in tuning.log]
        for at, tuning in store.tunings(run_id).items()
    }
    return RunProgress(
        state=run.state,
        cause=run.cause,
        phase=_phase(run),
        paused=works and run.pause,
        done=done if works else sum(arm.done for arm in arms),
        total=total if works and total else sum(arm.total for arm in arms),
        rate_per_s=rate,
        left_s=(total - done) / rate if rate else None,
        spent_usd=run.spent_usd,
        reserved_usd=run.reserved_usd,
        limit_usd=run.limit_usd,
        arms=arms,
        stopped=said.get("stopped", ()) if works else (),
        losses=losses,
        batches=_batches(store, run_id),
    )


def _batches(store: Store, run_id: str) -> list[BatchProgress]:
    return [
        BatchProgress(one.model, one.state.replace("_", " "), one.requests, one.completed, one.failed, not one.settled)
        for one in store.batches(run_id)
        if one.requests
    ]


def _phase(run: RunRow) -> str:
    if run.state == "queued":
        return "waiting for a worker"
    if run.state != "running":
        return run.state
    phase = str((run.progress or {}).get("phase", "starting"))
    return "paused" if run.pause and phase == "answering" else phase


def _planned(store: Store, run: RunRow, spec: Spec) -> list[tuple[str, int]]:
    """Every arm's name and how many answers it has to give, side arms last."""
    repeats = spec.run.repeats
    found = [(arm.name, store.set_size(run.eval_set) * repeats) for arm in spec.arms()]
    if run.forgetting_set is not None:
        size = store.set_size(run.forgetting_set) * repeats
        found += [(side.candidate.name, size) for side in spec.side_arms()]
    if spec.run.load is not None:
        beside = spec.load_levels()
        found += [(f"{one.name}, {level} in flight", spec.run.load.examples) for one, level in beside]
    return found


def _arms(store: Store, run: RunRow, planned: Sequence[tuple[str, int]]) -> list[ArmProgress]:
    since = (run.progress or {}).get("since", 0.0)
    counts, attempts = store.counts(run.id, since), store.attempt_counts(run.id)
    failures: dict[int, list[tuple[str, int]]] = {at: [] for at in range(len(planned))}
    for at, cause, times in store.failures(run.id):
        failures[at].append((cause, times))
    modes = store.json_modes(run.id)
    is_answering = run.state == "running" and not run.pause
    return [
        ArmProgress(
            name,
            each,
            failures=failures[at],
            json_modes=modes.get(at, {}),
            **_done(counts.get(at), each, is_answering),
            **_sent(attempts.get(at)),
        )
        for at, (name, each) in enumerate(planned)
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
