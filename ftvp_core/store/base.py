"""What every part of the store stands on: an engine, and transactions that hold what they read."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError

from ftvp_core.errors import LeaseLost, StoreFailed
from ftvp_core.store.owner import owner
from ftvp_core.store.schema import runs


class Base:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so that what it read still holds.

        Raises StoreFailed where the database can't take it, whatever it is.
        """
        try:
            with self.engine.connect() as connection:
                if self.engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        except OperationalError as error:
            raise StoreFailed(error.orig) from None

    @contextmanager
    def _holding(self, run_id: str) -> Iterator[Connection]:
        """`writing` for the process that works on the run. Raises LeaseLost when it isn't this one."""
        with self.writing() as connection:
            held_by = select(runs.c.owner).where(runs.c.id == run_id).with_for_update()
            if connection.execute(held_by).scalar_one() != owner():
                raise LeaseLost(run_id)
            yield connection
