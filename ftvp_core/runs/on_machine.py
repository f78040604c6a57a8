"""This machine's candidates: batches, one candidate after another; then each one's latency, at batch 1.

Where one candidate's last rows leave a batch part empty, the next one's of the same group fill it.
"""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain, islice

from ftvp_core.models import LocalModel
from ftvp_core.pricing.prices import machine_cost
from ftvp_core.runs.result_rows import answered, failed, unsearched
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow, Unit
from ftvp_core.types import Answer

#: Calls at batch 1 before those that are a local model's latency. From the third on its shared prefix is warm.
PROBE_WARM_UP = 3
#: A model is asked for as many rows at once as it takes and as are answered in about so many seconds, but for so many
#: at least: that much is asked again after a kill, and a pause or a cancel waits for that long.
ASKED_S, FEWEST = 10.0, 32


async def run_on_machine(run: Underway) -> None:
    """All of this machine's arms, to their end."""
    for models in await asyncio.to_thread(_opened, run):
        units = chain.from_iterable(run.units([at]) for at in models)
        most = next(iter(models.values())).batch_size
        size = min(FEWEST, most)
        while batch := list(islice(units, size)):
            await run.going.wait()
            started = time.perf_counter()
            works, known = unsearched(await asyncio.to_thread(run.works, batch))
            if known:
                await run.ledger.write(*known)
                run.count(len(known))
            if works:
                await _run_batch(run, models, works)
            size = _next_size(size, time.perf_counter() - started, most)
        for at, model in models.items():
            if _is_unprobed(run, at):
                run.store.keep_probe(run.row.id, at, await asyncio.to_thread(_probe, run, model, at))


def _next_size(size: int, took_s: float, most: int) -> int:
    if took_s <= ASKED_S / 4:
        return min(4 * size, most)
    return size if took_s <= ASKED_S else max(size // 2, min(FEWEST, most))


def _opened(run: Underway) -> list[dict[int, LocalModel]]:
    """The models of the unfinished arms, by position; those of a group together. What is beside comes last."""
    groups: dict[tuple[bool, object], dict[int, LocalModel]] = {}
    for at in run.arms:
        is_finished = next(run.units([at]), None) is None and not _is_unprobed(run, at)
        if run.plan.arms[at].is_remote or is_finished:
            continue
        model = run.opened.open_local(at)
        groups.setdefault((run.plan.arms[at].is_side, model.group or at), {})[at] = model
    return list(groups.values())


def _answers(models: dict[int, LocalModel], batch: Sequence[Work]) -> Sequence[Answer | str]:
    first = models[batch[0].unit.arm]
    if first.group is None:
        return first.answer_batch([work.request for work in batch])
    return first.group.answer([(models[work.unit.arm], work.request) for work in batch])


async def _run_batch(run: Underway, models: dict[int, LocalModel], batch: Sequence[Work]) -> None:
    intents = [Intent(work.unit, run.next_attempt(work.unit), Decimal(0), time.time()) for work in batch]
    model = models[batch[0].unit.arm]  # the others of a group are alike in what is asked here
    if model.works:
        await run.ledger.write(*intents)
    answers = await asyncio.to_thread(_answers, models, batch)
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


def _is_unprobed(run: Underway, at: int) -> bool:
    """Whether an arm should have a latency and has none yet: its rows may all have been answered before a kill."""
    arm = run.plan.arms[at]
    return not (arm.is_side or arm.candidate.recorded) and at not in run.store.probes(run.row.id)


def _probe(run: Underway, model: LocalModel, arm: int) -> list[float]:
    """Seconds of single calls, one after another, warm. A row without an answer has none."""
    latency_s = []
    n = len(run.plan.arms[arm].examples)
    units = [Unit(arm, at % n, 0) for at in range(PROBE_WARM_UP + run.plan.spec.run.probe)]
    works, _ = unsearched(run.works(units))
    for at, work in enumerate(works):
        started = time.perf_counter()
        [answer] = model.answer_batch([work.request])
        if at >= PROBE_WARM_UP and not isinstance(answer, str):
            latency_s.append(time.perf_counter() - started)
    return latency_s
