"""What every part of the store stands on: an engine, and transactions that hold what they read."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from ftvp_core.errors import LeaseLost, StoreFailed
from ftvp_core.store.owner import owner
from ftvp_core.store.schema import runs

#: Any number will do, as long as nothing else in the database uses it: these are the letters of ftvp.
_ALONE = text(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'ftvp')})")


class Base:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so that what it read still holds.

        PostgreSQL has no such lock: there `alone` takes one of ours, without which two tabs insert one row twice.
        Who locks the rows that it reads needn't be alone. Raises StoreFailed where the database can't take it.
        """
        try:
            with self.engine.connect() as connection:
                if self.engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                elif alone:
                    connection.execute(_ALONE)
                yield connection
                connection.commit()
        except (OperationalError, InterfaceError, InternalError) as error:  # full, locked, or its server is gone
            raise StoreFailed(error.orig) from None

    @contextmanager
    def _holding(self, run_id: str) -> Iterator[Connection]:
        """`writing` for the process that works on the run. Raises LeaseLost when it isn't this one."""
        with self.writing(alone=False) as connection:
            held_by = select(runs.c.owner).where(runs.c.id == run_id).with_for_update()
            if connection.execute(held_by).scalar_one() != owner():
                raise LeaseLost(run_id)
            yield connection
