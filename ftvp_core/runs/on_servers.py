"""Servers' candidates: many calls at once, interleaved example by example, each in the ledger before it is sent."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice

from ftvp_core.candidates.prompt import sent_text
from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models import RemoteModel
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.cached import cache_key, mode_key, window
from ftvp_core.runs.calls import Settled
from ftvp_core.runs.json_modes import JsonModes, Replied, Reply, asked_by
from ftvp_core.runs.providers import open_remote
from ftvp_core.runs.result_rows import answered, failed
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Outcome, ResultRow, Unit
from ftvp_core.types import Request


class OnServers:
    """The work of a run's remote arms."""

    def __init__(self, run: Underway) -> None:
        self._run = run
        self._calls = run.calls
        self._modes = JsonModes()

    async def run(self) -> None:
        """To their end, or to what stops them all: raises RunStopped. What has a concurrency of its own comes last."""
        run = self._run
        mine = [at for at in run.arms if run.plan.arms[at].is_remote and not run.plan.arms[at].is_batched]
        await self._answer_all([at for at in mine if run.plan.arms[at].concurrency is None], self._calls.concurrency)
        for at in mine:
            level = run.plan.arms[at].concurrency
            if level is not None:
                await self._answer_all([at], level)

    async def _answer_all(self, arms: Sequence[int], concurrency: int) -> None:
        """These arms, side by side."""
        run = self._run
        if not arms:
            return
        models = {at: open_remote(run.plan.arms[at], run.plan.spec) for at in arms}
        for at, seen in run.store.json_modes(run.row.id).items():
            if at in models:
                self._modes.remember(mode_key(run.plan.arms[at], models[at].identity), seen)
        feed = Feed(self._windows(arms, models), self._keep_known)

        async def work() -> None:
            waiting = Settled()
            try:
                while True:
                    if not feed.is_ready:  # the next window's search may need the budget that this one's calls hold
                        await self._calls.write(waiting)
                    one = await feed.next()
                    if one is None:
                        return
                    await self._answer(one, models[one.unit.arm], waiting)
            finally:  # whatever ends it, what was answered was billed
                await self._calls.write(waiting)

        try:
            async with self._calls.lag, asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, run.total - run.done)):
                    group.create_task(work())
        except ExceptionGroup as several:  # one cause, as raised: all else was ended by it
            self._calls.stop(str(several.exceptions[0]))  # a search that is under way, too
            raise several.exceptions[0] from None
        except asyncio.CancelledError:
            self._calls.stop("cancelled")
            raise
        finally:
            await feed.close()
            for model in models.values():
                await model.close()

    def _windows(self, arms: Sequence[int], models: Mapping[int, RemoteModel]) -> Iterator[Window]:
        """Unfinished work, rendered, and what is known of it. Runs in threads: it sends no generation, writes no result."""
        run = self._run
        units = run.units(arms)
        identities = {at: model.identity for at, model in models.items()}
        while chunk := list(islice(units, WINDOW)):
            yield window(run, chunk, identities, self._modes)

    async def _keep_known(self, rows: Sequence[ResultRow]) -> None:
        await self._calls.write(Settled(list(rows)))

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
            key = mode_key(arm, model.identity)
            if not self._modes.is_known(key):  # it may wait for another row, which may wait for this one's budget
                await self._calls.write(waiting)
            got = await self._modes.answer(key, work.request, arm.schema, ask)
        if isinstance(got, Replied):
            if got.json_mode is not None and work.cache_key is not None:
                way = asked_by(got.json_mode)
                work.cache_key = cache_key(model.identity, work.request, work.unit.repeat, way)
            waiting.entries.append(answered(self._run.plan, work, *got))
        elif got is not None:
            waiting.entries.append(failed(work, str(got), transient=got.retry))
            await self._calls.write(waiting)

    async def _ask(self, unit: Unit, request: Request, model: RemoteModel, waiting: Settled) -> Reply:
        """One call of a row: its last outcome is left in `waiting`. None where its provider or model is stopped."""
        plan = self._run.plan
        arm = plan.arms[unit.arm]
        given_up: list[CallFailed] = []
        most = reserve(arm.price, sent_text(request), request.max_tokens) if arm.price else Decimal(0)
        got = await self._calls.ask(
            arm,
            unit,
            most,
            lambda: model.answer(request, plan.spec.run.timeout_s),
            purpose="load" if arm.concurrency else "generation",
            waiting=waiting,
            given_up=given_up.append,
        )
        if isinstance(got, CallFailed):
            return got if given_up or isinstance(got, SchemaRefused) else None
        intent, answer = got
        cost = arm.price.cost(answer.usage) if arm.price else None
        self._calls.billed(unit, most, cost)
        waiting.entries.append(Outcome(intent, "answered", answer.usage, cost, answer.latency_s))
        return Replied(answer, cost)
