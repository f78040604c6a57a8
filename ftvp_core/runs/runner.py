"""Runs a plan: every (candidate, example, repeat) once, every attempt in the ledger before it is sent.

This machine's candidates go first, alone, so that their work doesn't disturb a server's latency; then the
servers', interleaved example by example, so that a provider's slow hour doesn't fall on one candidate.

A row that used up its tries is failed. A provider that can't answer at all (key, quota, down) is stopped: its
rows stay unfinished, and a resume goes on with them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Row

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.candidates.prompt import as_json
from ftvp_core.errors import CallFailed, RunStopped
from ftvp_core.models import LocalModel, RemoteModel
from ftvp_core.pricing.prices import machine_cost, reserve
from ftvp_core.runs.lag import Lag
from ftvp_core.runs.ledger import Ledger
from ftvp_core.runs.plan import Arm, Plan, cache_key, open_remote
from ftvp_core.runs.servers import TRIES, Servers
from ftvp_core.runs.windows import WINDOW, Feed, Window, Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow, Unit
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import Answer, Request, Usage

#: A local model's latency: calls at batch 1, after a warm-up.
PROBE_N, PROBE_WARM_UP = 20, 3
ASK_EVERY_S = 0.2


class Watching(Protocol):
    """Who watches a run: shown how far it is and what was stopped; asked a few times a second what to do."""

    def progress(self, done: int, total: int, /) -> None: ...

    def stopped(self, causes: Sequence[str], /) -> None: ...

    def cancelled(self) -> bool: ...

    def paused(self) -> bool: ...


@dataclass(slots=True)
class Settled:
    """Outcomes and results that wait to be committed."""

    entries: list[Outcome | ResultRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: done, partial, failed or cancelled; why, unless done; and its event loop's lag, if measured."""

    state: str
    cause: str | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a plan's arms need and what takes time to get: each arm's lookup, and its model if it is local."""

    lookups: Sequence[Lookup]
    open_local: Callable[[int], LocalModel]


@dataclass
class Runner:
    """Runs what is unfinished of a stored run, until it ends."""

    plan: Plan
    opened: Opened
    store: Store
    row: RunRow
    watch: Watching
    concurrency: int
    _stopped: str | None = None
    _under_way: int = 0
    _done: int = 0

    async def run(self) -> Ended:
        """All arms, to their end or to what stops them."""
        self._finished = self.store.finished(self.row.id)
        self._tried = self.store.tried(self.row.id)
        self._done = len(self._finished)
        self._settled = asyncio.Event()
        self._going = asyncio.Event()
        self._lag = Lag()
        self._servers = Servers(self.concurrency)
        self.watch.progress(self._done, self._total)
        cancelled = False
        async with Ledger(self.store, self.row.id) as self._ledger:
            watch = asyncio.create_task(self._heed(asyncio.current_task()))
            try:
                await self._run_local()
                await self._run_remote()
            except RunStopped as stop:
                self._stopped = str(stop)
            except asyncio.CancelledError:
                cancelled = True
            finally:
                watch.cancel()
        return self._ended(cancelled)

    @property
    def _total(self) -> int:
        spec = self.plan.spec
        return len(self.plan.arms) * len(self.plan.sources.eval_set.examples) * spec.run.repeats

    async def _heed(self, work: "asyncio.Task[object] | None") -> None:
        """Do what is asked of the run: pause, go on, cancel."""
        while not self.watch.cancelled():
            if self.watch.paused():
                self._going.clear()
            else:
                self._going.set()
            await asyncio.sleep(ASK_EVERY_S)
        if work is not None:
            work.cancel()

    def _ended(self, cancelled: bool) -> Ended:
        rows = self.store.results(self.row.id, texts=False)
        answered = {row.arm for row in rows if row.answered}
        causes = self._servers.causes
        causes += [self._stopped] if self._stopped else []
        if not causes:
            for at, arm in enumerate(self.plan.arms):
                said = Counter(row.error for row in rows if row.arm == at).most_common(1)
                if at not in answered:
                    causes.append(
                        f"{arm.candidate.name}: no call was answered ({said[0][0] if said else 'none was sent'})"
                    )
        lag_s = self._lag.p95_s
        if cancelled:
            return Ended("cancelled", "cancelled", lag_s)
        if not causes:
            return Ended("done", None, lag_s)
        return Ended("partial" if answered else "failed", "; ".join(causes), lag_s)

    # Units

    def _units(self, arms: Sequence[int]) -> Iterator[Unit]:
        """What is unfinished, the arms side by side."""
        for repeat in range(self.plan.spec.run.repeats):
            for example in range(len(self.plan.sources.eval_set.examples)):
                for arm in arms:
                    if (arm, example, repeat) not in self._finished:
                        yield Unit(arm, example, repeat)

    def _works(self, units: Sequence[Unit]) -> list[Work]:
        """The units rendered, in order; what their prompts are given is looked up arm by arm, all at once."""
        examples = self.plan.sources.eval_set.examples
        requests: dict[Unit, Request] = {}
        for at in dict.fromkeys(unit.arm for unit in units):
            mine = [unit for unit in units if unit.arm == at]
            asked = [examples[unit.example] for unit in mine]
            for unit, example, given in zip(mine, asked, self.opened.lookups[at](asked), strict=True):
                requests[unit] = self.plan.arms[at].render(example, given)
        return [Work(unit, requests[unit]) for unit in units]

    # This machine's candidates

    async def _run_local(self) -> None:
        for at, arm in enumerate(self.plan.arms):
            if arm.is_remote:
                continue
            units = self._units([at])
            first = next(units, None)
            if first is None:
                continue
            model = await asyncio.to_thread(self.opened.open_local, at)
            batch = [first, *islice(units, model.batch_size - 1)]
            while batch:
                await self._going.wait()
                await self._run_batch(model, await asyncio.to_thread(self._works, batch))
                batch = list(islice(units, model.batch_size))
            if model.works:
                latency_s = await asyncio.to_thread(self._probe, model, at)
                self.store.keep_probe(self.row.id, at, latency_s)

    async def _run_batch(self, model: LocalModel, batch: Sequence[Work]) -> None:
        intents = [Intent(work.unit, self._next_attempt(work.unit), Decimal(0), time.time()) for work in batch]
        if model.works:
            await self._ledger.write(*intents)
        answers = await asyncio.to_thread(model.answer_batch, [work.request for work in batch])
        prices = self.plan.spec.prices
        per_hour = prices.gpu_hour if model.on_gpu else prices.machine_hour
        entries: list[Outcome | ResultRow] = []
        for work, intent, answer in zip(batch, intents, answers, strict=True):
            if isinstance(answer, str):
                if model.works:
                    entries.append(Outcome(intent, "refused", cost_usd=Decimal(0), cause=answer))
                entries.append(_failed(work, answer, transient=False))
                continue
            cost = answer.cost_usd
            if cost is None and answer.machine_s is not None and per_hour is not None:
                cost = machine_cost(answer.machine_s, per_hour)
            if model.works:
                entries.append(Outcome(intent, "answered", answer.usage, cost, answer.latency_s))
            entries.append(self._answered(work, answer, cost))
        await self._ledger.write(*entries)
        self._count(len(batch))

    def _probe(self, model: LocalModel, arm: int) -> list[float]:
        """Seconds of single calls, one after another, warm."""
        latency_s = []
        n = len(self.plan.sources.eval_set.examples)
        units = [Unit(arm, at % n, 0) for at in range(PROBE_WARM_UP + PROBE_N)]
        for work in self._works(units):
            started = time.perf_counter()
            model.answer_batch([work.request])
            latency_s.append(time.perf_counter() - started)
        return latency_s[PROBE_WARM_UP:]

    # Servers' candidates

    async def _run_remote(self) -> None:
        arms = [at for at, arm in enumerate(self.plan.arms) if arm.is_remote]
        if not arms:
            return
        models = {at: open_remote(self.plan.arms[at], self.plan.spec) for at in arms}
        feed = Feed(self._windows(arms, models), self._keep_cached)

        async def work() -> None:
            answered = Settled()
            try:
                while (one := await feed.next()) is not None:
                    await self._answer(one, models[one.unit.arm], answered)
            finally:  # whatever ends it, what was answered was billed
                await self._write(answered)

        try:
            async with self._lag, asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, self._total - self._done)):
                    group.create_task(work())
        except ExceptionGroup as failed:  # one cause, as raised: all else was ended by it
            raise failed.exceptions[0] from None
        finally:
            await feed.close()
            for model in models.values():
                await model.close()

    def _windows(self, arms: Sequence[int], models: Mapping[int, RemoteModel]) -> Iterator[Window]:
        """Unfinished work, rendered, and what the cache has of it. Runs in threads: it changes nothing."""
        units = self._units(arms)
        while chunk := list(islice(units, WINDOW)):
            works = self._works(chunk)
            if not self.plan.spec.run.cache:
                yield Window(works, ())
                continue
            for work in works:
                work.cache_key = cache_key(models[work.unit.arm].identity, work.request, work.unit.repeat)
            found = self.store.cached([work.cache_key for work in works if work.cache_key], self.row.created_at)
            cached = [self._from_cache(work, found[work.cache_key]) for work in works if work.cache_key in found]
            yield Window([work for work in works if work.cache_key not in found], cached)

    def _from_cache(self, work: Work, row: Row[Any]) -> ResultRow:
        """An earlier answer, graded anew; with the latency that was measured then, and marked."""
        usage = Usage(row.input_tokens, row.cached_tokens, row.output_tokens)
        answer = Answer(row.output, usage, row.latency_s, row.ttft_s, finish_reason=row.finish_reason)
        price = self.plan.arms[work.unit.arm].price
        return self._answered(work, answer, price.cost(usage) if price else None) | {"from_cache": True}

    async def _keep_cached(self, rows: Sequence[ResultRow]) -> None:
        await self._write(Settled(list(rows)))

    async def _answer(self, work: Work, model: RemoteModel, answered: Settled) -> None:
        """One row: try until it is answered, used up, or its provider or model is stopped.

        What was answered is left in `answered`, to be committed with the next intent: one commit a call, not two.
        """
        arm = self.plan.arms[work.unit.arm]
        most = reserve(arm.price, as_json(work.request.messages), work.request.max_tokens) if arm.price else Decimal(0)
        for try_ in range(1, TRIES + 1):
            intent = await self._intend(work.unit, most, answered)
            if intent is None:
                return
            try:
                answer = await model.answer(work.request, self.plan.spec.run.timeout_s)
            except CallFailed as failure:
                wait_s = await self._note_failure(work, intent, failure, try_)
                if wait_s is None:
                    return
                await asyncio.sleep(wait_s)
            else:
                self._servers.answered(arm.candidate)
                cost = arm.price.cost(answer.usage) if arm.price else None
                outcome = Outcome(intent, "answered", answer.usage, cost, answer.latency_s)
                answered.entries += [outcome, self._answered(work, answer, cost)]
                return

    async def _note_failure(self, work: Work, intent: Intent, failure: CallFailed, try_: int) -> float | None:
        """Settle a failed try; seconds until the next one, or None when there is none."""
        arm = self.plan.arms[work.unit.arm]
        wait_s, is_failed = self._servers.failed(arm.candidate, failure, try_)
        done = Settled([_failed_outcome(intent, failure, arm)])
        if is_failed:
            done.entries.append(_failed(work, str(failure), transient=failure.retry))
        await self._write(done)
        if wait_s is None:
            self.watch.stopped(self._servers.causes)
        return wait_s

    async def _intend(self, unit: Unit, most: Decimal, answered: Settled) -> Intent | None:
        """Commit the intent to send, with what waits; None when its provider or model is stopped.

        Waits while the run is paused, and for budget that others hold; RunStopped when no one does.
        """
        while True:
            if not self._going.is_set():
                await self._write(answered)
                await self._going.wait()
            if self._servers.is_stopped(self.plan.arms[unit.arm].candidate):
                return None
            if self._stopped:  # said by another worker: an intent from here on would be committed and never sent
                raise RunStopped(self._stopped)
            settled = self._settled  # taken before the write, so that what settles during it is seen
            self._under_way += 1
            intent = Intent(unit, self._next_attempt(unit), most, time.time())
            if await self._write(answered, intent):
                return intent
            self._under_way -= 1
            if self._under_way == 0:
                limit = self.store.run(self.row.id).limit_usd
                self._stopped = f"the cost limit of ${limit} leaves no room for the next call (at most ${most})"
                raise RunStopped(self._stopped)
            await settled.wait()

    async def _write(self, done: Settled, *intents: Intent) -> bool:
        """Commit what is done and what is intended at once; whether the intents found their budget."""
        entries, done.entries = done.entries, []
        if not entries and not intents:
            return True
        holds = await self._ledger.write(*entries, *intents)
        outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
        for outcome in outcomes:
            self._tried[outcome.intent.unit] = outcome.intent.attempt
        if outcomes:
            self._under_way -= len(outcomes)
            self._settled.set()
            self._settled = asyncio.Event()
        if results := len(entries) - len(outcomes):
            self._count(results)
        return all(holds)

    def _next_attempt(self, unit: Unit) -> int:
        return self._tried.get(unit, 0) + 1

    def _count(self, results: int) -> None:
        self._done += results
        self.watch.progress(self._done, self._total)

    def _answered(self, work: Work, answer: Answer, cost: Decimal | None) -> ResultRow:
        example = self.plan.sources.eval_set.examples[work.unit.example]
        grade = self.plan.graders.grade(answer.output, example)
        return _result(work) | {
            "output": answer.output,
            "finish_reason": answer.finish_reason,
            "grade": grade.value,
            "ungraded": grade.reason or None,
            "latency_s": answer.latency_s,
            "ttft_s": answer.ttft_s,
            "input_tokens": answer.usage.input,
            "cached_tokens": answer.usage.cached_input,
            "output_tokens": answer.usage.output,
            "request_usd": cost,
            "passages": [passage.id for passage in work.request.passages] or None,
        }


def _result(work: Work) -> ResultRow:
    """A result's row, every column there, so that rows of all kinds are written in one statement."""
    empty: dict[str, Any] = dict.fromkeys(
        (
            "output", "error", "finish_reason", "grade", "ungraded", "latency_s", "ttft_s", "input_tokens",
            "cached_tokens", "output_tokens", "request_usd", "passages",
        )
    )  # fmt: skip
    return empty | {
        **work.unit._asdict(),
        "transient": False,
        "from_cache": False,
        "cache_key": work.cache_key,
        "at": time.time(),
    }


def _failed(work: Work, cause: str, *, transient: bool) -> ResultRow:
    return _result(work) | {"error": cause, "transient": transient, "cache_key": None}


def _failed_outcome(intent: Intent, failure: CallFailed, arm: Arm) -> Outcome:
    """A refused or unsent attempt costs nothing; of any other the cost is unknown, unless its usage came."""
    usage: Usage = getattr(failure, "usage", Usage())
    cost = Decimal(0) if failure.outcome in {"refused", "unsent"} else arm.price.cost(usage) if arm.price else None
    state = "answered" if cost is not None and failure.outcome == "unknown" else failure.outcome
    return Outcome(intent, state, usage, cost, failure.latency_s, str(failure), failure.status)
