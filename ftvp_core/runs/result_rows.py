"""The rows of results: an answer with its grade, or what failed, in one shape."""

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from ftvp_core.errors import CallFailed
from ftvp_core.pricing.prices import Pricer
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow
from ftvp_core.types import Answer, JsonMode, Passage


class Priced(Protocol):
    """What is billed by a price, or by none that is known."""

    @property
    def price(self) -> Pricer | None: ...


_EMPTY: ResultRow = dict.fromkeys(
    (
        "output", "error", "finish_reason", "grade", "ungraded", "latency_s", "ttft_s", "input_tokens",
        "cached_tokens", "output_tokens", "request_usd", "passages", "shots", "valid", "json_mode",
    )
)  # fmt: skip


def answered(
    plan: Plan, work: Work, answer: Answer, cost: Decimal | None, json_mode: JsonMode | None = None
) -> ResultRow:
    """An answer, graded, and held against its candidate's output schema if there is one.

    `cost` is its own: what its search costs is added. `json_mode`: as a server answered; on this machine a schema is always held to.
    """
    arm = plan.arms[work.unit.arm]
    example = arm.examples[work.unit.example]
    if arm.schema is not None and arm.candidate.provider == "local":
        json_mode = "constrained"
    grade = (arm.graders or plan.graders).grade(answer.output, example)
    return _row(work) | {
        "output": answer.output.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # no text of PostgreSQL's holds it
        "finish_reason": answer.finish_reason,
        "grade": grade.value,
        "ungraded": grade.reason or None,
        "latency_s": answer.latency_s,
        "ttft_s": answer.ttft_s,
        "input_tokens": answer.usage.input,
        "cached_tokens": answer.usage.cached_input,
        "output_tokens": answer.usage.output,
        "request_usd": None if cost is None or work.searched_usd is None else cost + work.searched_usd,
        "passages": _ids(work.request.passages) or None,
        "shots": [[shot.id, _ids(passages)] for shot, passages in work.request.shots] or None,
        "valid": arm.schema.problem(answer.output) is None if arm.schema is not None else None,
        "json_mode": json_mode,
    }


def unsearched(works: Sequence[Work]) -> tuple[list[Work], list[ResultRow]]:
    """Those to be asked; and, of those whose search failed, the rows. Where it only stopped, they stay unfinished."""
    able = [work for work in works if work.failure is None]
    rows = [
        failed(work, f"its search failed: {work.failure}", transient=work.failure.retry)
        for work in works
        if work.failure is not None and work.failure.stops is None
    ]
    return able, rows


def failed(work: Work, cause: str, *, transient: bool) -> ResultRow:
    return _row(work) | {"error": cause, "transient": transient, "cache_key": None}


def failed_outcome(intent: Intent, failure: CallFailed, of: Priced) -> Outcome:
    """A refused or unsent attempt costs nothing; of any other the cost is unknown, unless its usage came."""
    is_free = failure.outcome in {"refused", "unsent"}
    cost = Decimal(0) if is_free else of.price.cost(failure.usage) if of.price else None
    state = "answered" if cost is not None and failure.outcome == "unknown" else failure.outcome
    return Outcome(intent, state, failure.usage, cost, failure.latency_s, str(failure), failure.status)


def _ids(passages: Sequence[Passage]) -> list[str]:
    return [passage.id for passage in passages]


def _row(work: Work) -> dict[str, Any]:
    """Every column is there, so that rows of all kinds are written in one statement."""
    return _EMPTY | {
        **work.unit._asdict(),
        "transient": False,
        "from_cache": False,
        "cache_key": work.cache_key,
        "at": time.time(),
    }
