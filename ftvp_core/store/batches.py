"""Batches of a run at its providers, from the plan to make one until all of its attempts are settled."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select, update

from ftvp_core.store.base import Base
from ftvp_core.store.ledger import Intent, Unit
from ftvp_core.store.schema import attempts, batches


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as the store knows it; `requests` is how many it holds, `completed` and `failed` the provider's counts."""

    run_id: str
    key: str
    model: str
    remote_id: str | None
    state: str
    requests: int
    completed: int
    failed: int
    settled: bool
    planned_at: float


class Batches(Base):
    def plan_batch(self, run_id: str, model: str) -> BatchRow:
        """A new batch of the run, before anything of it is sent. Raises LeaseLost."""
        with self._holding(run_id) as connection:
            there = select(func.count()).select_from(batches).where(batches.c.run_id == run_id)
            key = f"{connection.execute(there).scalar_one() + 1:04}"
            row = BatchRow(run_id, key, model, None, "planned", 0, 0, 0, False, time.time())
            connection.execute(batches.insert().values({name: getattr(row, name) for name in BatchRow.__slots__}))
        return row

    def change_batch(self, batch: BatchRow, **values: Any) -> BatchRow:
        """Keep what is newly known of a batch. Raises LeaseLost."""
        with self._holding(batch.run_id) as connection:
            one = (batches.c.run_id == batch.run_id) & (batches.c.key == batch.key)
            connection.execute(update(batches).where(one).values(**values))
            return _batch_row(connection.execute(select(batches).where(one)).one())

    def batches(self, run_id: str) -> list[BatchRow]:
        """In the order in which they were planned."""
        ordered = select(batches).where(batches.c.run_id == run_id).order_by(batches.c.key)
        with self.engine.connect() as connection:
            return [_batch_row(row) for row in connection.execute(ordered)]

    def batch_intents(self, batch: BatchRow) -> list[Intent]:
        """Its attempts that nothing is known of yet, in the order of their units."""
        waiting = (
            select(attempts)
            .where(attempts.c.run_id == batch.run_id, attempts.c.batch == batch.key, attempts.c.state == "sent")
            .order_by(attempts.c.repeat, attempts.c.example, attempts.c.arm)
        )
        with self.engine.connect() as connection:
            return [_intent(row) for row in connection.execute(waiting)]


def _intent(row: Row[Any]) -> Intent:
    unit = Unit(row.arm, row.example, row.repeat)
    return Intent(unit, row.attempt, row.reserve_usd, row.sent_at, row.purpose, row.batch)


def _batch_row(row: Row[Any]) -> BatchRow:
    return BatchRow(**{name: getattr(row, name) for name in BatchRow.__slots__})
