"""Merged models: asked for by a page, made by a worker."""

import time
from dataclasses import dataclass

from sqlalchemy import delete, select, update

from ftvp_core.store.owner import is_dead, owner
from ftvp_core.store.schema import exports
from ftvp_core.store.store import Store


@dataclass(frozen=True, slots=True)
class ExportRow:
    """Neither `path` nor `error`: it waits for a worker, or one `is_under_way` with it."""

    run_id: str
    candidate: str
    is_under_way: bool
    path: str | None
    error: str | None


def ask(store: Store, run_id: str, candidate: str) -> None:
    """Leave one for a worker; one that is under way is kept, one that failed or is there is made again."""
    one = (exports.c.run_id == run_id) & (exports.c.candidate == candidate)
    with store.writing() as connection:
        ended = one & (exports.c.error.is_not(None) | exports.c.path.is_not(None))
        connection.execute(delete(exports).where(ended))
        if connection.execute(select(exports.c.run_id).where(one)).one_or_none() is None:
            connection.execute(exports.insert().values(run_id=run_id, candidate=candidate, asked_at=time.time()))


def withdraw(store: Store, run_id: str, candidate: str) -> None:
    """Ask for it no more. One that a worker is under way with is made, and then nobody's."""
    with store.writing() as connection:
        one = (exports.c.run_id == run_id) & (exports.c.candidate == candidate)
        connection.execute(delete(exports).where(one))


def export_of(store: Store, run_id: str, candidate: str) -> ExportRow | None:
    one = select(exports).where(exports.c.run_id == run_id, exports.c.candidate == candidate)
    with store.engine.connect() as connection:
        row = connection.execute(one).one_or_none()
    if row is None:
        return None
    works = row.owner is not None and not is_dead(row.owner)
    return ExportRow(row.run_id, row.candidate, works, row.path, row.error)


def take(store: Store) -> ExportRow | None:
    """The oldest that waits, for this process; also one that a process left which ended."""
    oldest = select(exports).where(exports.c.path.is_(None), exports.c.error.is_(None)).order_by(exports.c.asked_at)
    with store.engine.connect() as connection:  # the common case, without the write lock
        if connection.execute(oldest.limit(1)).first() is None:
            return None
    with store.writing() as connection:
        for row in connection.execute(oldest.with_for_update()):
            if row.owner is None or is_dead(row.owner):
                one = (exports.c.run_id == row.run_id) & (exports.c.candidate == row.candidate)
                connection.execute(update(exports).where(one).values(owner=owner()))
                return ExportRow(row.run_id, row.candidate, True, None, None)
    return None


def settle(store: Store, row: ExportRow, *, path: str | None = None, error: str | None = None) -> None:
    one = (exports.c.run_id == row.run_id) & (exports.c.candidate == row.candidate)
    with store.writing() as connection:
        connection.execute(update(exports).where(one).values(path=path, error=error, owner=None))
