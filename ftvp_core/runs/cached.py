"""Work made ready to be sent to a server: rendered, and without what the cache has already."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from ftvp_core.candidates.prompt import as_json
from ftvp_core.runs.arms import Arm, Plan
from ftvp_core.runs.json_modes import JsonModes
from ftvp_core.runs.result_rows import answered, unsearched
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import Window, Work
from ftvp_core.store.ledger import ResultRow, Unit
from ftvp_core.types import Answer, Request, Usage


def keyed(run: Underway, units: Sequence[Unit], identities: Mapping[int, str]) -> list[Work]:
    """The units rendered, each with its key in the cache, if the run uses one. `identities`: the arms' models."""
    works = run.works(units)
    for work in works:
        work.cache_key = next(iter(cache_keys(run.plan, work, identities)), None)
    return works


def window(
    run: Underway, units: Sequence[Unit], identities: Mapping[int, str], modes: JsonModes | None = None
) -> Window:
    """What is to be asked, and what is known of it: cached answers, failed searches. It may run in a thread.

    `modes`: how the servers are asked for JSON, where it isn't natively alone.
    """
    works, known = unsearched(run.works(units))
    keys = [cache_keys(run.plan, work, identities, modes) for work in works]
    found = run.store.cached([key for some in keys for key in some], run.row.created_at)
    rest = []
    for work, some in zip(works, keys, strict=True):
        work.cache_key = next((key for key in some if key in found), some[0] if some else None)
        row = found.get(work.cache_key) if work.cache_key else None
        if row is None:
            rest.append(work)
            continue
        known.append(_from_cache(run.plan, work, row))
        if modes is not None and row.json_mode is not None:
            modes.remember(mode_key(run.plan.arms[work.unit.arm], identities[work.unit.arm]), [row.json_mode])
    return Window(rest, known)


def mode_key(arm: Arm, identity: str) -> str:
    """Of a server's model and a schema: how it is asked for JSON is decided once for each."""
    return f"{identity} {arm.schema.text if arm.schema else ''}"


def cache_key(identity: str, request: Request, repeat: int, asked: str | None = None) -> str:
    """What makes two requests the same question: model, rendered messages, parameters, repeat.

    `asked`: how a schema was asked for, natively or in the prompt.
    """
    import hashlib

    parameters = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": request.stop,
        "stream": request.stream,
        "output_schema": request.output_schema,
        "repeat": repeat,
        **({} if asked is None else {"json_mode": asked}),
    }
    content = json.dumps([identity, as_json(request.messages), parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def cache_keys(plan: Plan, work: Work, identities: Mapping[int, str], modes: JsonModes | None = None) -> list[str]:
    """Under which an answer may be: several while it isn't known how the server is to be asked for JSON.

    None without a cache; and none of an arm that measures how long answers take under load.
    """
    arm, identity = plan.arms[work.unit.arm], identities[work.unit.arm]
    if not plan.spec.run.cache or arm.concurrency is not None:
        return []
    if arm.schema is None:
        return [cache_key(identity, work.request, work.unit.repeat)]
    ways = modes.possible(mode_key(arm, identity)) if modes else ("native",)
    return [cache_key(identity, work.request, work.unit.repeat, way) for way in ways]


def _from_cache(plan: Plan, work: Work, row: Row[Any]) -> ResultRow:
    """An earlier answer, graded anew; with the latency that was measured then, and marked."""
    usage = Usage(row.input_tokens, row.cached_tokens, row.output_tokens)
    answer = Answer(row.output, usage, row.latency_s, row.ttft_s, finish_reason=row.finish_reason)
    price = plan.arms[work.unit.arm].price
    cost = price.cost(usage) if price else None
    return answered(plan, work, answer, cost, row.json_mode) | {"from_cache": True}
