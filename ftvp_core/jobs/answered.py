"""What the cache already has of a plan's calls, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.candidates.ranking import Index
from ftvp_core.jobs.execute import arm_lookup
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.cached import cache_keys
from ftvp_core.runs.json_modes import JsonModes
from ftvp_core.runs.providers import identity_of
from ftvp_core.runs.windows import WINDOW, Work
from ftvp_core.spec import RetrievalSpec
from ftvp_core.store.ledger import Unit
from ftvp_core.store.store import Store


@dataclass(frozen=True, slots=True)
class Answered:
    """Of `calls` the cache has `known`. Candidates whose prompts aren't known before a search are `left_out`."""

    calls: int
    known: int
    left_out: Sequence[str]


class _Searches(Exception):
    """The prompt is known only when an index is built."""


def countable(plan: Plan) -> int:
    """How many calls would be looked up: none where the run doesn't use the cache."""
    return sum(plan.arms[at].calls for at in _asked(plan))


def answered_before(store: Store, plan: Plan) -> Answered:
    """Render every call as the run will, and see whether its answer is there. Builds no index, sends nothing."""
    calls = known = 0
    left_out = []
    for at in _asked(plan):
        try:
            lookup = arm_lookup(plan, at, _unsearched)
        except _Searches:
            arm = plan.arms[at]
            left_out.append(plan.side_name(at) if arm.is_side else arm.candidate.name)
            continue
        for start in range(0, len(plan.arms[at].examples), WINDOW):
            keys = _keys(plan, at, range(start, start + WINDOW), lookup)
            there = store.cached_keys([key for some in keys for key in some])
            calls += len(keys)
            known += sum(any(key in there for key in some) for some in keys)
    return Answered(calls, known, left_out)


def _asked(plan: Plan) -> list[int]:
    """The arms that the cache can answer for."""
    if not plan.spec.run.cache:
        return []
    return [at for at, arm in enumerate(plan.arms) if arm.is_remote and arm.concurrency is None]


def _keys(plan: Plan, at: int, places: range, lookup: Lookup) -> list[list[str]]:
    """Of each call about these examples the keys under which its answer may be."""
    arm = plan.arms[at]
    examples = arm.examples[places.start : places.stop]
    identity, modes = {at: identity_of(arm, plan.spec)}, None if arm.is_batched else JsonModes()
    requests = [arm.render(one, given) for one, given in zip(examples, lookup(examples), strict=True)]
    works = [
        Work(Unit(at, place, repeat), request)
        for place, request in zip(places, requests, strict=False)
        for repeat in range(arm.repeats)
    ]
    return [cache_keys(plan, work, identity, modes) for work in works]


def _unsearched(texts: Sequence[str], retrieval: RetrievalSpec) -> Index:
    raise _Searches
