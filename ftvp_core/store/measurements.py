"""What a training would take: asked for by a page, measured by a worker, kept for whoever asks the same."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update

from ftvp_core.store.owner import is_dead, owner
from ftvp_core.store.schema import measurements
from ftvp_core.store.store import Store


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """Neither `found` nor `error`: it waits for a worker, or one `is_under_way` with it and, if it `waits`, stands behind
    another training or ingestion."""

    key: str
    asked: Mapping[str, Any]
    is_under_way: bool
    waits: bool
    found: Mapping[str, Any] | None
    error: str | None


def ask(store: Store, key: str, asked: Mapping[str, Any]) -> None:
    """Leave a measurement for a worker; one that is there already is kept, one that failed is done again."""
    with store.writing() as connection:
        connection.execute(delete(measurements).where(measurements.c.key == key, measurements.c.error.is_not(None)))
        if connection.execute(select(measurements.c.key).where(measurements.c.key == key)).one_or_none() is None:
            connection.execute(measurements.insert().values(key=key, asked=dict(asked), asked_at=time.time()))


def say(store: Store, key: str, *, waits: bool) -> None:
    """Whether it stands behind another training or ingestion: kept beside what was asked."""
    with store.writing() as connection:
        one = measurements.c.key == key
        asked = connection.execute(select(measurements.c.asked).where(one)).scalar_one_or_none()
        if asked is not None:
            connection.execute(update(measurements).where(one).values(asked={**asked, "waits": waits}))


def withdraw(store: Store, key: str) -> None:
    """Ask for it no more; a worker that is under way with it stops."""
    with store.writing() as connection:
        connection.execute(delete(measurements).where(measurements.c.key == key))


def measurement(store: Store, key: str) -> MeasurementRow | None:
    with store.engine.connect() as connection:
        row = connection.execute(select(measurements).where(measurements.c.key == key)).one_or_none()
    if row is None:
        return None
    is_under_way = row.owner is not None and not is_dead(row.owner)
    waits = is_under_way and row.asked.get("waits", False)
    return MeasurementRow(row.key, row.asked, is_under_way, waits, row.found, row.error)


def take(store: Store) -> MeasurementRow | None:
    """The oldest that waits, for this process; also one that a process left which ended."""
    waiting = (measurements.c.found.is_(None)) & (measurements.c.error.is_(None))
    oldest = select(measurements).where(waiting).order_by(measurements.c.asked_at)
    with store.engine.connect() as connection:  # the common case, without the write lock
        if connection.execute(oldest.limit(1)).first() is None:
            return None
    with store.writing() as connection:
        for row in connection.execute(oldest.with_for_update()):
            if row.owner is None or is_dead(row.owner):
                mine = update(measurements).where(measurements.c.key == row.key).values(owner=owner())
                connection.execute(mine)
                return MeasurementRow(row.key, row.asked, True, False, None, None)
    return None


def settle(store: Store, key: str, *, found: Mapping[str, Any] | None = None, error: str | None = None) -> None:
    with store.writing() as connection:
        done = update(measurements).where(measurements.c.key == key)
        connection.execute(done.values(found=dict(found) if found else None, error=error, owner=None))
