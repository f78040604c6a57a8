"""The ledger's transaction: intents before sending, outcomes and results after, and the budget between them.

One call is one commit for everything that waits, from however many requests.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from ftvp_core.errors import LeaseLost
from ftvp_core.store.owner import owner
from ftvp_core.store.schema import attempts, rankings, results, runs
from ftvp_core.types import NO_USAGE, Usage

Purpose = Literal["generation", "embedding", "rerank", "load"]
State = Literal["answered", "refused", "unknown", "unsent"]


#: In place of an example's position.
NONE = -1


class Unit(NamedTuple):
    """One piece of work: positions of candidate and example, and the repeat.

    What is embedded for no example, a knowledge's passages above all, has `example` NONE and its request's number in
    `repeat`.
    """

    arm: int
    example: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt about to be sent. `reserve_usd` is the most that it can cost."""

    unit: Unit
    attempt: int
    reserve_usd: Decimal
    at: float
    purpose: Purpose = "generation"
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. `cost_usd` None: unknown, and its reserve stays held."""

    intent: Intent
    state: State
    usage: Usage = NO_USAGE
    cost_usd: Decimal | None = None
    latency_s: float | None = None
    cause: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A server's scores of some passages for a question, and the tokens that it read; None: unknown."""

    key: str
    scores: Sequence[float]
    input_tokens: int | None


#: A row of `results`, by column.
ResultRow = dict[str, Any]
Entry = Intent | Outcome | Ranking | ResultRow

# Statements are made once: building them anew took as long as running them.
_MONEY = (
    select(runs.c.owner, runs.c.limit_usd, runs.c.spent_usd, runs.c.reserved_usd)
    .where(runs.c.id == bindparam("b_run"))
    .with_for_update()
)
_SPEND = (
    update(runs)
    .where(runs.c.id == bindparam("b_run"))
    .values(spent_usd=bindparam("spent"), reserved_usd=bindparam("reserved"))
)
_INTEND, _ANSWER, _RANK = attempts.insert(), results.insert(), rankings.insert()
_COMPLETE = (
    update(attempts)
    .where(
        attempts.c.run_id == bindparam("b_run"),
        attempts.c.arm == bindparam("b_arm"),
        attempts.c.example == bindparam("b_example"),
        attempts.c.repeat == bindparam("b_repeat"),
        attempts.c.attempt == bindparam("b_attempt"),
        attempts.c.purpose == bindparam("b_purpose"),
    )
    .values(
        {
            name: bindparam(name)
            for name in (
                "state", "cause", "status", "latency_s", "input_tokens", "cached_tokens", "output_tokens", "cost_usd",
            )
        }
    )
)  # fmt: skip


def commit(connection: Connection, run_id: str, entries: Sequence[Entry]) -> list[bool]:
    """Write all entries; for each, whether it holds. Only an Intent can be turned down: no budget is left.

    Raises LeaseLost, and writes nothing, when the run isn't this process's any more.
    """
    outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
    money = connection.execute(_MONEY, {"b_run": run_id}).one()
    if money.owner != owner():
        raise LeaseLost(run_id)
    spent, reserved = money.spent_usd, money.reserved_usd
    for outcome in outcomes:
        if outcome.cost_usd is not None:
            spent += outcome.cost_usd
            reserved -= outcome.intent.reserve_usd
    accepted, holds = [], []
    for entry in entries:
        if not isinstance(entry, Intent):
            holds.append(True)
            continue
        fits = money.limit_usd is None or spent + reserved + entry.reserve_usd <= money.limit_usd
        holds.append(fits)
        if fits:
            accepted.append(entry)
            reserved += entry.reserve_usd
    if accepted:
        connection.execute(_INTEND, [_intent_row(run_id, intent) for intent in accepted])
    if outcomes:
        connection.execute(_COMPLETE, [_outcome_row(run_id, outcome) for outcome in outcomes])
    rows = [{"run_id": run_id, **entry} for entry in entries if isinstance(entry, dict)]
    if rows:
        connection.execute(_ANSWER, rows)
    ranked = [{"run_id": run_id, **asdict(entry)} for entry in entries if isinstance(entry, Ranking)]
    if ranked:
        connection.execute(_RANK, ranked)
    if (spent, reserved) != (money.spent_usd, money.reserved_usd):
        connection.execute(_SPEND, {"b_run": run_id, "spent": spent, "reserved": reserved})
    return holds


def _intent_row(run_id: str, intent: Intent) -> dict[str, Any]:
    return {
        "run_id": run_id,
        **intent.unit._asdict(),
        "attempt": intent.attempt,
        "purpose": intent.purpose,
        "state": "sent",
        "sent_at": intent.at,
        "reserve_usd": intent.reserve_usd,
        "batch": intent.batch,
    }


def _outcome_row(run_id: str, outcome: Outcome) -> dict[str, Any]:
    unit = outcome.intent.unit
    return {
        "b_run": run_id,
        "b_arm": unit.arm,
        "b_example": unit.example,
        "b_repeat": unit.repeat,
        "b_attempt": outcome.intent.attempt,
        "b_purpose": outcome.intent.purpose,
        "state": outcome.state,
        "cause": outcome.cause,
        "status": outcome.status,
        "latency_s": outcome.latency_s,
        "input_tokens": outcome.usage.input,
        "cached_tokens": outcome.usage.cached_input,
        "output_tokens": outcome.usage.output,
        "cost_usd": outcome.cost_usd,
    }
