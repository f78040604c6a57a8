"""The rows of results: an answer with its grade, or what failed, in one shape."""

import time
from decimal import Decimal
from typing import Any

from ftvp_core.errors import CallFailed
from ftvp_core.runs.plan import Arm, Plan
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Intent, Outcome, ResultRow
from ftvp_core.types import Answer, Usage

_EMPTY: ResultRow = dict.fromkeys(
    (
        "output", "error", "finish_reason", "grade", "ungraded", "latency_s", "ttft_s", "input_tokens",
        "cached_tokens", "output_tokens", "request_usd", "passages",
    )
)  # fmt: skip


def answered(plan: Plan, work: Work, answer: Answer, cost: Decimal | None) -> ResultRow:
    """An answer, graded."""
    arm = plan.arms[work.unit.arm]
    grade = (arm.graders or plan.graders).grade(answer.output, arm.examples[work.unit.example])
    return _row(work) | {
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


def failed(work: Work, cause: str, *, transient: bool) -> ResultRow:
    return _row(work) | {"error": cause, "transient": transient, "cache_key": None}


def failed_outcome(intent: Intent, failure: CallFailed, arm: Arm) -> Outcome:
    """A refused or unsent attempt costs nothing; of any other the cost is unknown, unless its usage came."""
    usage: Usage = getattr(failure, "usage", Usage())
    cost = Decimal(0) if failure.outcome in {"refused", "unsent"} else arm.price.cost(usage) if arm.price else None
    state = "answered" if cost is not None and failure.outcome == "unknown" else failure.outcome
    return Outcome(intent, state, usage, cost, failure.latency_s, str(failure), failure.status)


def _row(work: Work) -> dict[str, Any]:
    """Every column is there, so that rows of all kinds are written in one statement."""
    return _EMPTY | {
        **work.unit._asdict(),
        "transient": False,
        "from_cache": False,
        "cache_key": work.cache_key,
        "at": time.time(),
    }
