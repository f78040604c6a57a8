"""Servers' candidates: many calls at once, interleaved example by example, each in the ledger before it is sent."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Row

from ftvp_core.candidates.prompt import as_json
from ftvp_core.errors import CallFailed
from ftvp_core.models import RemoteModel
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.calls import Settled
from ftvp_core.runs.lag import Lag
from ftvp_core.runs.plan import cache_key, open_remote
from ftvp_core.runs.result_rows import answered, failed, unsearched
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Outcome, ResultRow
from ftvp_core.types import Answer, Usage


class OnServers:
    """The work of a run's remote arms."""

    def __init__(self, run: Underway) -> None:
        self.lag = Lag()
        self._run = run
        self._calls = run.calls

    async def run(self) -> None:
        """To their end, or to what stops them all: raises RunStopped."""
        run = self._run
        arms = [at for at in run.arms if run.plan.arms[at].is_remote]
        if not arms:
            return
        models = {at: open_remote(run.plan.arms[at], run.plan.spec) for at in arms}
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
            async with self.lag, asyncio.TaskGroup() as group:
                for _ in range(min(self._calls.concurrency, run.total - run.done)):
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
        """Unfinished work, rendered, and what is known of it: cached answers, failed searches. Runs in threads: it changes nothing."""
        run = self._run
        units = run.units(arms)
        while chunk := list(islice(units, WINDOW)):
            works, known = unsearched(run.works(chunk))
            if not run.plan.spec.run.cache:
                yield Window(works, known)
                continue
            for work in works:
                work.cache_key = cache_key(models[work.unit.arm].identity, work.request, work.unit.repeat)
            found = run.store.cached([work.cache_key for work in works if work.cache_key], run.row.created_at)
            known += [self._from_cache(work, found[work.cache_key]) for work in works if work.cache_key in found]
            yield Window([work for work in works if work.cache_key not in found], known)

    def _from_cache(self, work: Work, row: Row[Any]) -> ResultRow:
        """An earlier answer, graded anew; with the latency that was measured then, and marked."""
        usage = Usage(row.input_tokens, row.cached_tokens, row.output_tokens)
        answer = Answer(row.output, usage, row.latency_s, row.ttft_s, finish_reason=row.finish_reason)
        price = self._run.plan.arms[work.unit.arm].price
        return answered(self._run.plan, work, answer, price.cost(usage) if price else None) | {"from_cache": True}

    async def _keep_known(self, rows: Sequence[ResultRow]) -> None:
        await self._calls.write(Settled(list(rows)))

    async def _answer(self, work: Work, model: RemoteModel, waiting: Settled) -> None:
        """One row. What was answered is left in `waiting`."""
        plan = self._run.plan
        arm = plan.arms[work.unit.arm]
        most = reserve(arm.price, as_json(work.request.messages), work.request.max_tokens) if arm.price else Decimal(0)
        got = await self._calls.ask(
            arm,
            work.unit,
            most,
            lambda: model.answer(work.request, plan.spec.run.timeout_s),
            waiting=waiting,
            given_up=lambda failure: failed(work, str(failure), transient=failure.retry),
        )
        if isinstance(got, CallFailed):
            return
        intent, answer = got
        cost = arm.price.cost(answer.usage) if arm.price else None
        outcome = Outcome(intent, "answered", answer.usage, cost, answer.latency_s)
        waiting.entries += [outcome, answered(plan, work, answer, cost)]
