"""Work made ready to be sent to a server: rendered, and without what the cache has already."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from ftvp_core.runs.plan import Plan, cache_key
from ftvp_core.runs.result_rows import answered, unsearched
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import Window, Work
from ftvp_core.store.ledger import ResultRow, Unit
from ftvp_core.types import Answer, Usage


def keyed(run: Underway, units: Sequence[Unit], identities: Mapping[int, str]) -> list[Work]:
    """The units rendered, each with its key in the cache, if the run uses one. `identities`: the arms' models."""
    works = run.works(units)
    if run.plan.spec.run.cache:
        for work in works:
            work.cache_key = cache_key(identities[work.unit.arm], work.request, work.unit.repeat)
    return works


def window(run: Underway, units: Sequence[Unit], identities: Mapping[int, str]) -> Window:
    """What is to be asked, and what is known of it: cached answers, failed searches. It may run in a thread."""
    works, known = unsearched(keyed(run, units, identities))
    keys = [work.cache_key for work in works if work.cache_key]
    found = run.store.cached(keys, run.row.created_at) if keys else {}
    known += [_from_cache(run.plan, work, found[work.cache_key]) for work in works if work.cache_key in found]
    return Window([work for work in works if work.cache_key not in found], known)


def _from_cache(plan: Plan, work: Work, row: Row[Any]) -> ResultRow:
    """An earlier answer, graded anew; with the latency that was measured then, and marked."""
    usage = Usage(row.input_tokens, row.cached_tokens, row.output_tokens)
    answer = Answer(row.output, usage, row.latency_s, row.ttft_s, finish_reason=row.finish_reason)
    price = plan.arms[work.unit.arm].price
    return answered(plan, work, answer, price.cost(usage) if price else None) | {"from_cache": True}
