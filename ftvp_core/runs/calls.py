"""Requests to servers as they are accounted for: intended, sent, tried again, settled. Whoever asks, one event loop.

Generation asks from its tasks on the loop; a search's embeddings and re-ranking from a thread, which waits (`wait_for`).
All share the budget, the health of the servers, the pause and the ledger.
"""

import asyncio
import concurrent.futures
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from ftvp_core.errors import CallFailed, RunStopped, SchemaRefused
from ftvp_core.runs.lag import Lag
from ftvp_core.runs.ledger import Ledger
from ftvp_core.runs.result_rows import Priced, failed_outcome
from ftvp_core.runs.servers import TRIES, Served, Servers
from ftvp_core.store.ledger import Intent, Outcome, Purpose, Ranking, ResultRow, Unit
from ftvp_core.store.store import RunRow, Store

ASK_EVERY_S = 0.2

Got = TypeVar("Got")


class Asking(Protocol):
    """Who watches a run: shown what was stopped; asked a few times a second what to do."""

    def stopped(self, causes: Sequence[str], /) -> None: ...

    def lagging(self, lag_s: float | None, /) -> None: ...

    def cancelled(self) -> bool: ...

    def paused(self) -> bool: ...


class Model(Served, Priced, Protocol):
    """A model on a server, and what its tokens cost."""


def event_loop() -> asyncio.AbstractEventLoop:
    """The quickest that is installed: uvloop's takes a twentieth less of a run's CPU, and there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@dataclass(slots=True)
class Settled:
    """Outcomes, results and what else was answered, waiting to be committed."""

    entries: list[Outcome | Ranking | ResultRow] = field(default_factory=list)

    def attempts(self, unit: Unit, purpose: Purpose) -> int:
        """How many of the unit's attempts wait: those of a row that takes several calls."""
        of = [entry.intent for entry in self.entries if isinstance(entry, Outcome)]
        return sum((intent.unit, intent.purpose) == (unit, purpose) for intent in of)


class Calls:
    """A run's requests, from its opening to its end. `going` is set unless the run is paused.

    `counted` is told of results as they are committed.
    """

    def __init__(self, store: Store, row: RunRow, watch: Asking, concurrency: int, loop: asyncio.Runner) -> None:
        self.concurrency = concurrency
        self.servers = Servers(concurrency)
        self.going = asyncio.Event()
        self.lag = Lag()
        self.counted: Callable[[int], None] = lambda _: None
        self._store = store
        self._row = row
        self._watch = watch
        self._runner = loop
        self._loop = loop.get_loop()
        self._tried = store.tried(row.id)
        self._dearer = store.dearer(row.id)
        self._settled = asyncio.Event()
        self._stopped: str | None = None
        self._under_way = 0
        self._from_threads: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While it is open requests are written, and what is asked of the run is done: pause, go on, cancel."""
        self._stopped = None  # what stopped a teacher's labels needn't stop the rest
        self._under_way = 0
        async with Ledger(self._store, self._row.id) as self.ledger:
            heeding = asyncio.create_task(self._heed(asyncio.current_task()))
            try:
                yield
            except asyncio.CancelledError:
                self.stop("cancelled")
                raise
            finally:
                heeding.cancel()

    @property
    def lag_s(self) -> float | None:
        """The event loop's lag (p95) while it measured latencies: of this process, or of one before, if that was more."""
        return max((lag for lag in (self._row.lag_s, self.lag.p95_s) if lag is not None), default=None)

    def run(self, work: Coroutine[Any, Any, Got]) -> Got:
        """Do this on the loop, from the thread that it belongs to."""
        return self._runner.run(work)

    def wait_for(self, work: Coroutine[Any, Any, Got]) -> Got:
        """Do this on the loop, from a thread beside it, or alone before the loop runs. Raises RunStopped."""
        try:
            if self._loop.is_running():
                return asyncio.run_coroutine_threadsafe(self._from_thread(work), self._loop).result()
            return self._runner.run(self._alone(work))
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            raise RunStopped("cancelled") from None

    async def ask(
        self,
        of: Model,
        unit: Unit,
        most: Decimal,
        send: Callable[[], Awaitable[Got]],
        *,
        purpose: Purpose = "generation",
        waiting: Settled | None = None,
        given_up: Callable[[CallFailed], None] = lambda _: None,
    ) -> tuple[Intent, Got] | CallFailed:
        """One request: tried until it is answered, used up, or its provider or model is stopped.

        `most`: the most that a try can cost. What is `waiting` is committed with the next intent: one commit a call,
        not two. The last failure, too, is left there where the caller gave it; an answer is for the caller to settle.
        `given_up` is told of the failure that used up the tries.
        """
        own = waiting is None
        waiting = Settled() if waiting is None else waiting
        last = CallFailed(f"{of.model} is stopped", outcome="unsent", stops="model")
        for try_ in range(1, TRIES + 1):
            intent = await self._intend(of, unit, most, purpose, waiting)
            if intent is None:
                return last
            try:
                got = await send()
            except CallFailed as failure:
                last = failure
                waiting.entries.append(failed_outcome(intent, failure, of))
                if isinstance(failure, SchemaRefused):  # it can be asked for in another way
                    break
                wait_s, is_failed = self.servers.failed(of, failure, try_)
                if is_failed:
                    given_up(failure)
                if wait_s is None:
                    self._watch.stopped(self.servers.causes)
                if is_failed:
                    break
                await self.write(waiting)
                if wait_s is None:
                    break
                await asyncio.sleep(wait_s)
            else:
                self.servers.answered(of)
                return intent, got
        if own:  # nobody else would: its reserve stayed held, and who waits for budget waited for ever
            await self.write(waiting)
        return last

    async def write(self, done: Settled, *intents: Intent) -> bool:
        """Commit what is done and what is intended at once; whether the intents found their budget."""
        entries, done.entries = done.entries, []
        if not entries and not intents:
            return True
        holds = await self.ledger.write(*entries, *intents)
        outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
        if outcomes:
            self.settled(outcomes)
            self.let_go(len(outcomes))
        if finished := [entry for entry in entries if isinstance(entry, dict)]:
            self._forget(finished)
            self.counted(len(finished))
        return all(holds)

    def billed(self, unit: Unit, most: Decimal, cost: Decimal | None) -> None:
        """A server that doesn't hold to max_tokens bills more than what was reserved: its next calls reserve as much."""
        if cost is not None and cost > most > 0:
            self._dearer[unit.arm] = max(cost / most, self._dearer.get(unit.arm, Decimal(1)))

    def next_attempt(self, unit: Unit, purpose: Purpose = "generation") -> int:
        return self._tried.get((purpose, *unit), 0) + 1

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """These are committed: a next attempt has the number after theirs."""
        for outcome in outcomes:
            self._tried[outcome.intent.purpose, *outcome.intent.unit] = outcome.intent.attempt

    def _forget(self, finished: Sequence[ResultRow]) -> None:
        """These aren't asked again: the numbers of their attempts needn't be held."""
        for row in finished:
            for purpose in ("generation", "load"):
                self._tried.pop((purpose, row["arm"], row["example"], row["repeat"]), None)

    @property
    def under_way(self) -> int:
        """Attempts whose reserve is held and will be settled: who finds no budget waits for theirs."""
        return self._under_way

    def hold(self, attempts: int) -> None:
        """So many are under way beside the single calls: those in a batch. `write` takes what is settled off."""
        self._under_way += attempts

    def let_go(self, attempts: int) -> None:
        """So many aren't under way any more and aren't settled either: nobody needs to wait for them."""
        self._under_way -= attempts
        self._wake()

    def stop(self, cause: str) -> None:
        """Nothing more is sent, and no thread waits for an answer."""
        self._stopped = self._stopped or cause
        for task in self._from_threads:
            task.cancel()

    def _wake(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()

    async def _intend(self, of: Model, unit: Unit, asked: Decimal, purpose: Purpose, waiting: Settled) -> Intent | None:
        """Commit the intent to send, with what waits; None when its provider or model is stopped.

        Waits while the run is paused, and for budget that others hold; RunStopped when no one does.
        """
        while True:
            if not self.going.is_set():
                await self.write(waiting)
                await self.going.wait()
            if self.servers.is_stopped(of):
                return None
            if self._stopped:  # said by another task: an intent from here on would be committed and never sent
                raise RunStopped(self._stopped)
            settled = self._settled  # taken before the write, so that what settles during it is seen
            self._under_way += 1
            number = self.next_attempt(unit, purpose) + waiting.attempts(unit, purpose)
            most = asked * self._dearer.get(unit.arm, Decimal(1))
            intent = Intent(unit, number, most, time.time(), purpose)
            if await self.write(waiting, intent):
                return intent
            self._under_way -= 1
            if self._under_way == 0:
                limit = self._store.run(self._row.id).limit_usd
                self._stopped = f"the cost limit of ${limit} leaves no room for the next call (at most ${most})"
                raise RunStopped(self._stopped)
            await settled.wait()

    async def _alone(self, work: Awaitable[Got]) -> Got:
        async with self.open():
            return await work

    async def _from_thread(self, work: Coroutine[Any, Any, Got]) -> Got:
        task = asyncio.current_task()
        assert task is not None
        self._from_threads.add(task)
        try:
            if self._stopped:
                work.close()
                raise RunStopped(self._stopped)
            return await work
        finally:
            self._from_threads.discard(task)

    async def _heed(self, work: "asyncio.Task[object] | None") -> None:
        """Do what is asked of the run: pause, go on, cancel. Say how late the event loop is."""
        while not self._watch.cancelled():
            if self._watch.paused():
                self.going.clear()
            else:
                self.going.set()
            self._watch.lagging(self.lag_s)
            await asyncio.sleep(ASK_EVERY_S)
        self.stop("cancelled")
        if work is not None:
            work.cancel()
