"""How far a run is, for those who watch it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.spec import parse
from ftvp_core.store.store import Store


@dataclass(frozen=True, slots=True)
class ArmProgress:
    name: str
    done: int
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`rate_per_s` and `left_s` are of the phase under way; None before anything is done in it."""

    state: str
    cause: str | None
    phase: str
    done: int
    total: int
    rate_per_s: float | None
    left_s: float | None
    spent_usd: Decimal
    reserved_usd: Decimal
    limit_usd: Decimal | None
    arms: Sequence[ArmProgress]
    failures: Sequence[tuple[str, int]]
    losses: dict[str, list[tuple[int, float]]]

    @property
    def is_live(self) -> bool:
        return self.state in {"queued", "running"}


def run_progress(store: Store, run_id: str) -> RunProgress:
    """Raises UserError where there is no such run."""
    run = store.run(run_id)
    spec = parse(run.spec, f"run {run_id}")
    counts = store.counts(run_id)
    each = store.set_size(run.eval_set) * spec.run.repeats
    arms = [ArmProgress(arm.name, *counts.get(at, (0, 0)), each) for at, arm in enumerate(spec.arms())]
    said = run.progress or {}
    done, total = said.get("done", 0), said.get("total", 0)
    fresh = done - (said.get("done_before") or 0)
    passed = time.time() - said.get("since", time.time())
    rate = fresh / passed if fresh > 0 and passed > 0 and run.state == "running" else None
    losses = {
        spec.arms()[at].name: [(int(step), float(loss)) for step, loss in tuning.log]
        for at, tuning in store.tunings(run_id).items()
    }
    return RunProgress(
        state=run.state,
        cause=run.cause,
        phase=said.get("phase", "waiting for a worker") if run.state in {"queued", "running"} else run.state,
        done=done if run.state == "running" else sum(arm.done for arm in arms),
        total=total if run.state == "running" and total else each * len(arms),
        rate_per_s=rate,
        left_s=(total - done) / rate if rate else None,
        spent_usd=run.spent_usd,
        reserved_usd=run.reserved_usd,
        limit_usd=run.limit_usd,
        arms=arms,
        failures=store.failures(run_id),
        losses=losses,
    )
