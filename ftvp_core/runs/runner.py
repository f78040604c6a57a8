"""Runs a plan: every (candidate, example, repeat) once, every attempt in the ledger before it is sent.

This machine's candidates go first, alone, so that their work doesn't disturb a server's latency; then the
servers', interleaved example by example, so that a provider's slow hour doesn't fall on one candidate.

A row that used up its tries is failed. A provider that can't answer at all (key, quota, down) is stopped: its
rows stay unfinished, and a resume goes on with them.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ftvp_core.errors import RunStopped
from ftvp_core.runs.calls import Calls
from ftvp_core.runs.on_machine import run_on_machine
from ftvp_core.runs.on_servers import OnServers
from ftvp_core.runs.plan import Plan
from ftvp_core.runs.underway import Opened, Underway, Watching
from ftvp_core.store.store import RunRow, Store


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: done, partial, failed or cancelled; why, unless done; and its event loop's lag, if measured."""

    state: str
    cause: str | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs what is unfinished of a stored run, until it ends."""

    plan: Plan
    opened: Opened
    store: Store
    row: RunRow
    watch: Watching
    calls: Calls

    async def run(self, arms: Sequence[int] | None = None) -> Ended:
        """These arms, by position, or all of them: to their end or to what stops them."""
        arms = range(len(self.plan.arms)) if arms is None else arms
        run = Underway(self.plan, self.opened, self.store, self.row, self.watch, arms, self.calls)
        remote = OnServers(run)
        stopped: str | None = None
        cancelled = False
        try:
            async with self.calls.open():
                await run_on_machine(run)
                await remote.run()
        except RunStopped as stop:
            stopped = str(stop)
        except asyncio.CancelledError:
            cancelled = True
        return self._ended(run, remote, stopped, cancelled)

    def _ended(self, run: Underway, remote: OnServers, stopped: str | None, cancelled: bool) -> Ended:
        rows = self.store.results(self.row.id, texts=False)
        answered = {row.arm for row in rows if row.answered}
        causes = self.calls.servers.causes
        causes += [stopped] if stopped else []
        if not causes:
            for at in run.arms:
                said = Counter(row.error for row in rows if row.arm == at).most_common(1)
                if at not in answered:
                    name = self.plan.arms[at].candidate.name
                    causes.append(f"{name}: no call was answered ({said[0][0] if said else 'none was sent'})")
        lag_s = remote.lag.p95_s
        if cancelled:
            return Ended("cancelled", "cancelled", lag_s)
        if not causes:
            return Ended("done", None, lag_s)
        return Ended("partial" if answered else "failed", "; ".join(causes), lag_s)
