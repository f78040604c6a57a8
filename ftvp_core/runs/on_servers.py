"""Servers' candidates: many calls at once, interleaved example by example, each in the ledger before it is sent."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from ftvp_core.candidates.prompt import as_json
from ftvp_core.errors import CallFailed, RunStopped
from ftvp_core.models import RemoteModel
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.cached import window
from ftvp_core.runs.lag import Lag
from ftvp_core.runs.plan import open_remote
from ftvp_core.runs.result_rows import answered, failed, failed_outcome
from ftvp_core.runs.servers import TRIES, Servers
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Intent, Outcome, Purpose, ResultRow, Unit


@dataclass(slots=True)
class Settled:
    """Outcomes and results that wait to be committed."""

    entries: list[Outcome | ResultRow] = field(default_factory=list)


class OnServers:
    """The work of a run's remote arms."""

    def __init__(self, run: Underway, concurrency: int, servers: Servers | None = None) -> None:
        self.servers = servers or Servers(concurrency)
        self._lag = Lag()
        self._run = run
        self._concurrency = concurrency
        self._settled = asyncio.Event()
        self._stopped: str | None = None
        self._under_way = 0

    async def run(self) -> None:
        """To their end, or to what stops them all: raises RunStopped. What has a concurrency of its own comes last."""
        run = self._run
        mine = [at for at in run.arms if run.plan.arms[at].is_remote and not run.plan.arms[at].is_batched]
        await self._answer_all([at for at in mine if run.plan.arms[at].concurrency is None])
        for at in mine:
            level = run.plan.arms[at].concurrency
            if level is not None:
                await OnServers(run, level, self.servers)._answer_all([at])

    async def _answer_all(self, arms: Sequence[int]) -> None:
        """These arms, side by side."""
        run = self._run
        if not arms:
            return
        models = {at: open_remote(run.plan.arms[at], run.plan.spec) for at in arms}
        feed = Feed(self._windows(arms, models), self._keep_cached)

        async def work() -> None:
            waiting = Settled()
            try:
                while (one := await feed.next()) is not None:
                    await self._answer(one, models[one.unit.arm], waiting)
            finally:  # whatever ends it, what was answered was billed
                await self._write(waiting)

        try:
            async with self._lag, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, run.total - run.done)):
                    group.create_task(work())
        except ExceptionGroup as several:  # one cause, as raised: all else was ended by it
            raise several.exceptions[0] from None
        finally:
            await feed.close()
            for model in models.values():
                await model.close()

    @property
    def lag_s(self) -> float | None:
        """The event loop's lag (p95) while it measured latencies: of this process, or of one before, if that was more."""
        return max((lag for lag in (self._run.row.lag_s, self._lag.p95_s) if lag is not None), default=None)

    def _windows(self, arms: Sequence[int], models: Mapping[int, RemoteModel]) -> Iterator[Window]:
        """Unfinished work, rendered, and what the cache has of it. Runs in threads: it changes nothing."""
        run = self._run
        units = run.units(arms)
        identities = {at: model.identity for at, model in models.items()}
        while chunk := list(islice(units, WINDOW)):
            yield window(run, chunk, identities)

    async def _keep_cached(self, rows: Sequence[ResultRow]) -> None:
        await self._write(Settled(list(rows)))

    async def _answer(self, work: Work, model: RemoteModel, waiting: Settled) -> None:
        """One row: try until it is answered, used up, or its provider or model is stopped.

        What was answered is left in `waiting`, to be committed with the next intent: one commit a call, not two.
        """
        arm = self._run.plan.arms[work.unit.arm]
        most = reserve(arm.price, as_json(work.request.messages), work.request.max_tokens) if arm.price else Decimal(0)
        for try_ in range(1, TRIES + 1):
            intent = await self._intend(work.unit, most, waiting)
            if intent is None:
                return
            try:
                answer = await model.answer(work.request, self._run.plan.spec.run.timeout_s)
            except CallFailed as failure:
                wait_s = await self._note_failure(work, intent, failure, try_)
                if wait_s is None:
                    return
                await asyncio.sleep(wait_s)
            else:
                self.servers.answered(arm.candidate)
                cost = arm.price.cost(answer.usage) if arm.price else None
                outcome = Outcome(intent, "answered", answer.usage, cost, answer.latency_s)
                waiting.entries += [outcome, answered(self._run.plan, work, answer, cost)]
                return

    async def _note_failure(self, work: Work, intent: Intent, failure: CallFailed, try_: int) -> float | None:
        """Settle a failed try; seconds until the next one, or None when there is none."""
        arm = self._run.plan.arms[work.unit.arm]
        wait_s, is_failed = self.servers.failed(arm.candidate, failure, try_)
        done = Settled([failed_outcome(intent, failure, arm)])
        if is_failed:
            done.entries.append(failed(work, str(failure), transient=failure.retry))
        await self._write(done)
        if wait_s is None:
            self._run.watch.stopped(self.servers.causes)
        return wait_s

    async def _intend(self, unit: Unit, most: Decimal, waiting: Settled) -> Intent | None:
        """Commit the intent to send, with what waits; None when its provider or model is stopped.

        Waits while the run is paused, and for budget that others hold; RunStopped when no one does.
        """
        run = self._run
        while True:
            if not run.going.is_set():
                await self._write(waiting)
                await run.going.wait()
            if self.servers.is_stopped(run.plan.arms[unit.arm].candidate):
                return None
            if self._stopped:  # said by another worker: an intent from here on would be committed and never sent
                raise RunStopped(self._stopped)
            settled = self._settled  # taken before the write, so that what settles during it is seen
            self._under_way += 1
            purpose: Purpose = "load" if run.plan.arms[unit.arm].concurrency else "generation"
            intent = Intent(unit, run.next_attempt(unit), most, time.time(), purpose)
            if await self._write(waiting, intent):
                return intent
            self._under_way -= 1
            if self._under_way == 0:
                limit = run.store.run(run.row.id).limit_usd
                self._stopped = f"the cost limit of ${limit} leaves no room for the next call (at most ${most})"
                raise RunStopped(self._stopped)
            await settled.wait()

    async def _write(self, done: Settled, *intents: Intent) -> bool:
        """Commit what is done and what is intended at once; whether the intents found their budget."""
        entries, done.entries = done.entries, []
        if not entries and not intents:
            return True
        holds = await self._run.ledger.write(*entries, *intents)
        outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
        if outcomes:
            self._run.settled(outcomes)
            self._under_way -= len(outcomes)
            self._settled.set()
            self._settled = asyncio.Event()
        if results := len(entries) - len(outcomes):
            self._run.count(results)
        return all(holds)
