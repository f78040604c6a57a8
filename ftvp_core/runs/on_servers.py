"""Servers' candidates: many calls at once, interleaved example by example, each in the ledger before it is sent."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice

from ftvp_core.candidates.prompt import as_json
from ftvp_core.errors import CallFailed
from ftvp_core.models import RemoteModel
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.cached import window
from ftvp_core.runs.calls import Settled
from ftvp_core.runs.plan import open_remote
from ftvp_core.runs.result_rows import answered, failed
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Outcome, ResultRow


class OnServers:
    """The work of a run's remote arms."""

    def __init__(self, run: Underway) -> None:
        self._run = run
        self._calls = run.calls

    async def run(self) -> None:
        """To their end, or to what stops them all: raises RunStopped."""
        run = self._run
        arms = [at for at in run.arms if run.plan.arms[at].is_remote and not run.plan.arms[at].is_batched]
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
            async with self._calls.lag, asyncio.TaskGroup() as group:
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
        identities = {at: model.identity for at, model in models.items()}
        while chunk := list(islice(units, WINDOW)):
            yield window(run, chunk, identities)

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
