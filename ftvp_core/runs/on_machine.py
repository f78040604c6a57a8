"""This machine's candidates: batches, one candidate after another; then each one's latency, at batch 1."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice

from ftvp_core.models import LocalModel
from ftvp_core.pricing.prices import machine_cost
from ftvp_core.runs.result_rows import answered, failed, unsearched
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow, Unit

#: A local model's latency: calls at batch 1, after a warm-up.
PROBE_N, PROBE_WARM_UP = 20, 3


async def run_on_machine(run: Underway) -> None:
    """All of this machine's arms, to their end."""
    for at in run.arms:
        if run.plan.arms[at].is_remote:
            continue
        units = run.units([at])
        first = next(units, None)
        if first is None:
            continue
        model = await asyncio.to_thread(run.opened.open_local, at)
        batch = [first, *islice(units, model.batch_size - 1)]
        while batch:
            await run.going.wait()
            works, known = unsearched(await asyncio.to_thread(run.works, batch))
            if known:
                await run.ledger.write(*known)
                run.count(len(known))
            if works:
                await _run_batch(run, model, works)
            batch = list(islice(units, model.batch_size))
        if model.works and not run.plan.arms[at].is_side:
            latency_s = await asyncio.to_thread(_probe, run, model, at)
            if latency_s:
                run.store.keep_probe(run.row.id, at, latency_s)


async def _run_batch(run: Underway, model: LocalModel, batch: Sequence[Work]) -> None:
    intents = [Intent(work.unit, run.next_attempt(work.unit), Decimal(0), time.time()) for work in batch]
    if model.works:
        await run.ledger.write(*intents)
    answers = await asyncio.to_thread(model.answer_batch, [work.request for work in batch])
    prices = run.plan.spec.prices
    per_hour = prices.gpu_hour if model.on_gpu else prices.machine_hour
    entries: list[Outcome | ResultRow] = []
    for work, intent, answer in zip(batch, intents, answers, strict=True):
        if isinstance(answer, str):
            if model.works:
                entries.append(Outcome(intent, "refused", cost_usd=Decimal(0), cause=answer))
            entries.append(failed(work, answer, transient=False))
            continue
        cost = answer.cost_usd
        if cost is None and answer.machine_s is not None and per_hour is not None:
            cost = machine_cost(answer.machine_s, per_hour)
        if model.works:
            entries.append(Outcome(intent, "answered", answer.usage, cost, answer.latency_s))
        entries.append(answered(run.plan, work, answer, cost))
    await run.ledger.write(*entries)
    run.count(len(batch))


def _probe(run: Underway, model: LocalModel, arm: int) -> list[float]:
    """Seconds of single calls, one after another, warm."""
    latency_s = []
    n = len(run.plan.arms[arm].examples)
    units = [Unit(arm, at % n, 0) for at in range(PROBE_WARM_UP + PROBE_N)]
    works, _ = unsearched(run.works(units))
    for work in works:
        started = time.perf_counter()
        model.answer_batch([work.request])
        latency_s.append(time.perf_counter() - started)
    return latency_s[PROBE_WARM_UP:]
