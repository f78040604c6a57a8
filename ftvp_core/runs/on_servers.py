"""Servers' candidates: many calls at once, interleaved example by example, each in the ledger before it is sent."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Row

from ftvp_core.candidates.prompt import sent_text
from ftvp_core.errors import CallFailed, RunStopped, SchemaRefused
from ftvp_core.models import RemoteModel
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.json_modes import JsonModes, Replied, Reply, asked_by
from ftvp_core.runs.lag import Lag
from ftvp_core.runs.plan import Arm, cache_key, open_remote
from ftvp_core.runs.result_rows import answered, failed, failed_outcome
from ftvp_core.runs.servers import TRIES, Servers
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow, Unit
from ftvp_core.types import Answer, Request, Usage


@dataclass(slots=True)
class Settled:
    """Outcomes and results that wait to be committed."""

    entries: list[Outcome | ResultRow] = field(default_factory=list)

    def attempts(self, unit: Unit) -> int:
        """How many of the unit's attempts wait: those of a row that takes several calls."""
        return sum(isinstance(entry, Outcome) and entry.intent.unit == unit for entry in self.entries)


class OnServers:
    """The work of a run's remote arms."""

    def __init__(self, run: Underway, concurrency: int) -> None:
        self.servers = Servers(concurrency)
        self.lag = Lag()
        self._run = run
        self._concurrency = concurrency
        self._settled = asyncio.Event()
        self._stopped: str | None = None
        self._under_way = 0
        self._modes = JsonModes()

    async def run(self) -> None:
        """To their end, or to what stops them all: raises RunStopped."""
        run = self._run
        arms = [at for at in run.arms if run.plan.arms[at].is_remote]
        if not arms:
            return
        models = {at: open_remote(run.plan.arms[at], run.plan.spec) for at in arms}
        for at, seen in run.store.json_modes(run.row.id).items():
            if at in models:
                self._modes.remember(_mode_key(run.plan.arms[at], models[at]), seen)
        feed = Feed(self._windows(arms, models), self._keep_cached)

        async def work() -> None:
            waiting = Settled()
            try:
                while (one := await feed.next()) is not None:
                    await self._answer(one, models[one.unit.arm], waiting)
            finally:  # whatever ends it, what was answered was billed
                await self._write(waiting)

        try:
            async with self.lag, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, run.total - run.done)):
                    group.create_task(work())
        except ExceptionGroup as several:  # one cause, as raised: all else was ended by it
            raise several.exceptions[0] from None
        finally:
            await feed.close()
            for model in models.values():
                await model.close()

    def _windows(self, arms: Sequence[int], models: Mapping[int, RemoteModel]) -> Iterator[Window]:
        """Unfinished work, rendered, and what the cache has of it. Runs in threads: it sends and writes nothing."""
        run = self._run
        units = run.units(arms)
        while chunk := list(islice(units, WINDOW)):
            works = run.works(chunk)
            if not run.plan.spec.run.cache:
                yield Window(works, ())
                continue
            keys = [self._cache_keys(work, models[work.unit.arm]) for work in works]
            found = run.store.cached([key for some in keys for key in some], run.row.created_at)
            rest, cached = [], []
            for work, some in zip(works, keys, strict=True):
                work.cache_key = next((key for key in some if key in found), some[0])
                if row := found.get(work.cache_key):
                    cached.append(self._from_cache(work, models[work.unit.arm], row))
                else:
                    rest.append(work)
            yield Window(rest, cached)

    def _cache_keys(self, work: Work, model: RemoteModel) -> list[str]:
        """Under which an answer may be: several while it isn't known how the server is to be asked for JSON."""
        arm = self._run.plan.arms[work.unit.arm]
        if arm.schema is None:
            return [cache_key(model.identity, work.request, work.unit.repeat)]
        ways = self._modes.possible(_mode_key(arm, model))
        return [cache_key(model.identity, work.request, work.unit.repeat, way) for way in ways]

    def _from_cache(self, work: Work, model: RemoteModel, row: Row[Any]) -> ResultRow:
        """An earlier answer, graded anew; with the latency that was measured then, and marked."""
        arm = self._run.plan.arms[work.unit.arm]
        if row.json_mode is not None:
            self._modes.remember(_mode_key(arm, model), [row.json_mode])
        usage = Usage(row.input_tokens, row.cached_tokens, row.output_tokens)
        answer = Answer(row.output, usage, row.latency_s, row.ttft_s, finish_reason=row.finish_reason)
        cost = arm.price.cost(usage) if arm.price else None
        return answered(self._run.plan, work, answer, cost, row.json_mode) | {"from_cache": True}

    async def _keep_cached(self, rows: Sequence[ResultRow]) -> None:
        await self._write(Settled(list(rows)))

    async def _answer(self, work: Work, model: RemoteModel, waiting: Settled) -> None:
        """One row, to its result; none where its provider or model is stopped.

        What was answered is left in `waiting`, to be committed with the next intent: one commit a call, not two.
        """
        arm = self._run.plan.arms[work.unit.arm]

        async def ask(request: Request) -> Reply:
            return await self._ask(work.unit, request, model, waiting)

        if arm.schema is None:
            got = await ask(work.request)
        else:
            key = _mode_key(arm, model)
            if not self._modes.is_known(key):  # it may wait for another row, which may wait for this one's budget
                await self._write(waiting)
            got = await self._modes.answer(key, work.request, arm.schema, ask)
        if isinstance(got, Replied):
            if got.json_mode is not None and work.cache_key is not None:
                way = asked_by(got.json_mode)
                work.cache_key = cache_key(model.identity, work.request, work.unit.repeat, way)
            waiting.entries.append(answered(self._run.plan, work, *got))
        elif got is not None:
            waiting.entries.append(failed(work, str(got), transient=got.retry))
            await self._write(waiting)

    async def _ask(self, unit: Unit, request: Request, model: RemoteModel, waiting: Settled) -> Reply:
        """Try until it is answered or its tries are used up; None when its provider or model is stopped.

        The last outcome is left in `waiting`.
        """
        arm = self._run.plan.arms[unit.arm]
        most = reserve(arm.price, sent_text(request), request.max_tokens) if arm.price else Decimal(0)
        for try_ in range(1, TRIES + 1):
            intent = await self._intend(unit, most, waiting)
            if intent is None:
                return None
            try:
                answer = await model.answer(request, self._run.plan.spec.run.timeout_s)
            except CallFailed as failure:
                waiting.entries.append(failed_outcome(intent, failure, arm))
                if isinstance(failure, SchemaRefused):
                    return failure
                wait_s, is_failed = self.servers.failed(arm.candidate, failure, try_)
                if wait_s is None:
                    self._run.watch.stopped(self.servers.causes)
                if is_failed:
                    return failure
                await self._write(waiting)
                if wait_s is None:
                    return None
                await asyncio.sleep(wait_s)
            else:
                self.servers.answered(arm.candidate)
                cost = arm.price.cost(answer.usage) if arm.price else None
                waiting.entries.append(Outcome(intent, "answered", answer.usage, cost, answer.latency_s))
                return Replied(answer, cost)
        return None

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
            intent = Intent(unit, run.next_attempt(unit) + waiting.attempts(unit), most, time.time())
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


def _mode_key(arm: Arm, model: RemoteModel) -> str:
    return f"{model.identity} {arm.schema.text if arm.schema else ''}"
