"""Opening the store: where it lies, its pragmas, and bringing its schema up to date."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from ftvp_core.errors import StoreFailed, UserError
from ftvp_core.store.schema import HEAD, metadata
from ftvp_core.store.store import Store

#: How long a transaction on a server may do nothing, and how long another waits for its locks; SQLite's is the same.
IDLE_MS, LOCK_MS = 15_000, 30_000


def home() -> Path:
    """Where state lives: FTVP_HOME, else `.ftvp/` beside app.py."""
    return Path(os.environ.get("FTVP_HOME") or Path(__file__).parents[2] / ".ftvp")


def open_store(url: str | None = None) -> Store:
    """Open the store, creating or migrating it first. `url` is SQLAlchemy's; by default the settings' own. Raises UserError."""
    url = url or os.environ.get("FTVP_DATABASE_URL")
    if url is None:
        try:
            home().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                "FTVP_HOME", f"{home()} can't be made ({error.strerror})", "name a folder you can write"
            ) from None
        url = f"sqlite:///{home() / 'ftvp.db'}"
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))  # a server may have begun anew
    except (ArgumentError, ImportError) as error:  # no address, or a database whose driver isn't installed
        raise UserError("FTVP_DATABASE_URL", f"can't be used ({error})", "see the README") from None
    prepare = _prepare_sqlite if engine.dialect.name == "sqlite" else _prepare_server
    prepare(engine)
    try:
        _bring_up_to_date(engine)
    except (DBAPIError, StoreFailed) as error:
        cause = getattr(error, "orig", error)
        raise UserError("the store", f"can't be opened ({cause})", "check FTVP_HOME and FTVP_DATABASE_URL") from None
    return Store(engine)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def pragmas(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where `writing` says, not where sqlite3 thinks
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={LOCK_MS}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")


def _prepare_server(engine: Engine) -> None:
    """A process that is suspended inside a transaction, or whose machine sleeps, holds its locks no longer than this."""

    @event.listens_for(engine, "connect")
    def settings(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MS}")
            cursor.execute(f"SET lock_timeout = {LOCK_MS}")
        connection.commit()


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        stamp = (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if "alembic_version" in tables
            else None
        )
    if stamp == HEAD:
        return
    if stamp is None:
        _create(engine)
    else:
        _migrate(engine, stamp)


def _create(engine: Engine) -> None:
    with Store(engine).writing() as connection:
        metadata.create_all(connection)
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        if connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 0:
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(engine: Engine, stamp: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with Store(engine).writing() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            later = f"is of a later version ({stamp}) than this program ({HEAD})"
            raise UserError("the store", later, "update ftvp") from None
