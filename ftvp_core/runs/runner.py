"""Runs a plan: every (candidate, example, repeat) once, every attempt in the ledger before it is sent.

This machine's candidates go first, alone, so that their work doesn't disturb a server's latency; then the
servers', interleaved example by example, so that a provider's slow hour doesn't fall on one candidate. Batches, which
have no latency, are made at the start and looked at beside both.

A row that used up its tries is failed. A provider that can't answer at all (key, quota, down) is stopped: its
rows stay unfinished, and a resume goes on with them.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ftvp_core.errors import LeaseLost, RunStopped, StoreFailed
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Calls
from ftvp_core.runs.in_batches import InBatches
from ftvp_core.runs.on_machine import run_on_machine
from ftvp_core.runs.on_servers import OnServers
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
        stopped: list[str] = []
        cancelled = False
        async with self.calls.open():
            in_batches = InBatches(run)
            batches = asyncio.create_task(in_batches.run())
            try:
                with _noted(stopped):
                    await run_on_machine(run)
                    await OnServers(run).run()
                with _noted(stopped):  # whatever stopped the others, these are made and paid for
                    await batches
            except (LeaseLost, StoreFailed):
                pass  # noted: nothing more can be written
            except asyncio.CancelledError:
                cancelled = True
                batches.cancel()
                await asyncio.wait([batches])
                with suppress(LeaseLost, StoreFailed), _noted(stopped):
                    await in_batches.cancel()
            finally:
                batches.cancel()
                await asyncio.gather(batches, return_exceptions=True)
                await in_batches.close()
        return self._ended(run, stopped, cancelled)

    def _ended(self, run: Underway, stopped: Sequence[str], cancelled: bool) -> Ended:
        answered = {at for at, one in self.store.counts(self.row.id).items() if one.done > one.failed}
        causes = self.calls.servers.causes
        causes += dict.fromkeys(stopped)
        if not causes:
            causes += [self._unanswered(at) for at in run.arms if at not in answered]
        lag_s = self.calls.lag_s
        if cancelled:
            return Ended("cancelled", "cancelled", lag_s)
        if not causes:
            return Ended("done", None, lag_s)
        return Ended("partial" if answered else "failed", "; ".join(causes), lag_s)

    def _unanswered(self, at: int) -> str:
        """Why an arm has no answer."""
        said = Counter(row.error for row in self.store.results(self.row.id, texts=False, arm=at)).most_common(1)
        name = self.plan.arms[at].candidate.name
        return f"{name}: no call was answered ({said[0][0] if said else 'none was sent'})"


@contextmanager
def _noted(stopped: list[str]) -> Iterator[None]:
    """Take note of what stopped a part of the run, and go on with the others; not without a lease or a store."""
    try:
        yield
    except RunStopped as stop:
        stopped.append(str(stop))
        if isinstance(stop, LeaseLost | StoreFailed):
            raise
