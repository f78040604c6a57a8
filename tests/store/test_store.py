"""The store: made whole, migrated alike, and honest about who works on what."""

import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, update

from ftvp_core.errors import LeaseLost, UserError
from ftvp_core.store.ledger import Entry, Intent, Outcome, Unit, commit
from ftvp_core.store.opening import open_store
from ftvp_core.store.owner import is_dead, named, owner
from ftvp_core.store.schema import HEAD, metadata, runs
from ftvp_core.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path / 'ftvp.db'}")


def a_run(store: Store, key: str | None = None) -> str:
    data = store.keep("examples", "e", 0, "{}")
    none: dict[str, Any] = {"train_set": None, "knowledge": None, "recorded": {}, "versions": {}}
    return store.create_run(name="n", spec="", folder="/", eval_set=data, limit_usd=Decimal(1), request_key=key, **none)


def test_a_new_store_is_made_whole_and_stamped(store: Store) -> None:
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    again = open_store(str(store.engine.url))
    assert again.runs() == []


def test_migrations_from_the_first_on_give_the_same_tables(store: Store, tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    import ftvp_core.store

    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(ftvp_core.store.__path__[0]) / "migrations"))
    with migrated.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    ours, theirs = (inspect(engine) for engine in (store.engine, migrated))
    assert set(ours.get_table_names()) == set(theirs.get_table_names())
    for table in ours.get_table_names():
        columns = [[(one["name"], str(one["type"])) for one in made.get_columns(table)] for made in (ours, theirs)]
        assert columns[0] == columns[1]


def test_an_older_store_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    import ftvp_core.store

    url = f"sqlite:///{tmp_path / 'old.db'}"
    config = Config()
    config.set_main_option("script_location", str(Path(ftvp_core.store.__path__[0]) / "migrations"))
    with create_engine(url).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO datasets VALUES ('k', 'examples', 'e', 0, x'00')")
        connection.exec_driver_sql(
            "INSERT INTO runs (id, name, state, spec, folder, eval_set, recorded, versions, created_at, spent_usd,"
            " reserved_usd, enqueued, cancel) VALUES ('r', '이름', 'done', '', '/', 'k', '{}', '{}', 1, 75000, 0, 1, 0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO attempts (run_id, arm, example, repeat, attempt, purpose, state, sent_at, reserve_usd, cost_usd)"
            " VALUES ('r', 0, 7, 0, 2, 'generation', 'answered', 1.5, 0, 75000)"
        )
    store = open_store(url)
    (run,) = store.runs()
    assert (run.name, run.spent_usd, run.pause, run.lag_s) == ("이름", Decimal("0.000000075"), False, None)
    assert store.tried("r") == {("generation", 0, 7, 0): 2}
    (sums,) = store.ledger_sums("r", by_example=True)
    assert (sums.attempts, sums.other_attempts, sums.cost_usd) == (1, 0, Decimal("0.000000075"))
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD


def test_a_store_of_a_later_version_is_refused_in_one_line(store: Store) -> None:
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match=r"the store: is of a later version .*; update ftvp"):
        open_store(str(store.engine.url))


def test_money_is_added_exactly(store: Store) -> None:
    run_id = a_run(store)
    with store.writing() as connection:
        connection.execute(update(runs).values(spent_usd=Decimal("0.000000075")))
    assert store.run(run_id).spent_usd == Decimal("0.000000075")
    path = str(store.engine.url.database)
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT spent_usd FROM runs").fetchone() == (75_000,)


def test_a_run_is_worked_on_by_one_living_process(store: Store) -> None:
    run_id = a_run(store)
    store.lease(run_id)
    assert store.run(run_id).state == "running"
    store.lease(run_id)  # its own process may go on
    with store.writing() as connection:
        alive = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        connection.execute(update(runs).values(owner=named(alive.pid)))
    with pytest.raises(UserError, match="worked on by process"):
        store.lease(run_id)
    alive.kill()
    until = time.monotonic() + 30
    while store.run(run_id).state == "running":  # at once, before its parent takes note of it: it is known to be gone
        assert time.monotonic() < until
    store.lease(run_id)
    alive.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps the start by the clock alone")
def test_a_clock_that_is_set_makes_no_living_process_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    name = owner()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)  # what the system says moves with its clock
    assert not is_dead(name)
    assert is_dead(f"{name}1")  # an earlier process of the same number


def test_a_run_that_ended_or_was_cancelled_is_not_taken(store: Store) -> None:
    run_id = a_run(store, key="k")
    store.cancel(run_id)
    with pytest.raises(UserError, match="is cancelled"):  # by a worker that saw it queued
        store.lease(run_id)
    store.requeue(run_id, enqueued=True)
    store.lease(run_id)


def test_whoever_wakes_after_its_run_was_cancelled_sends_no_more(store: Store) -> None:
    run_id = a_run(store)
    store.lease(run_id)
    with store.writing() as connection:
        connection.execute(update(runs).values(beat_at=1.0))
    store.cancel(run_id)
    with pytest.raises(LeaseLost):
        commit_alone(store, run_id, Intent(Unit(0, 1, 0), 1, Decimal("0.1"), 1.0))
    assert store.run(run_id).state == "cancelled"


def test_a_process_on_another_machine_is_given_up_after_30_silent_seconds(store: Store) -> None:
    run_id = a_run(store, key="k")
    store.lease(run_id)
    for silent_s, state in ((20, "running"), (40, "interrupted")):
        with store.writing() as connection:
            connection.execute(update(runs).values(owner="elsewhere:1:0.00", beat_at=time.time() - silent_s))
        assert store.run(run_id).state == state
    assert store.next_job() == run_id


def test_whoever_lost_a_run_writes_nothing_of_it_any_more(store: Store) -> None:
    run_id = a_run(store)
    store.lease(run_id)
    intent = Intent(Unit(0, 0, 0), 1, Decimal("0.1"), 1.0)
    with store.writing() as connection:
        commit(connection, run_id, [intent])
        connection.execute(update(runs).values(owner="elsewhere:1:0.00", beat_at=2.0))
    before = everything(store)
    for write in (
        lambda: store.beat(run_id, {"done": 1}),
        lambda: store.settle_lost_attempts(run_id),
        lambda: store.keep_probe(run_id, 0, [0.1]),
        lambda: store.keep_tuning(run_id, 0, adapter="a", rows=1, log=[]),
        lambda: store.finish(run_id, "done", None),
        lambda: commit_alone(store, run_id, Outcome(intent, "answered", cost_usd=Decimal("0.05"))),
        lambda: commit_alone(store, run_id, Intent(Unit(0, 1, 0), 1, Decimal("0.1"), 1.0)),
    ):
        with pytest.raises(LeaseLost, match="taken up, or ended, by another process"):
            write()
    assert everything(store) == before


def test_a_run_that_was_left_by_its_process_can_be_given_to_a_worker(store: Store) -> None:
    run_id = a_run(store)
    store.lease(run_id)
    store.requeue(run_id, enqueued=True)
    assert store.next_job() is None  # its process lives
    with store.writing() as connection:
        connection.execute(update(runs).values(owner="elsewhere:1:0.00", beat_at=1.0))
    store.requeue(run_id, enqueued=True)
    assert (store.run(run_id).state, store.next_job()) == ("queued", run_id)


def commit_alone(store: Store, run_id: str, entry: Entry) -> None:
    with store.writing() as connection:
        commit(connection, run_id, [entry])


def everything(store: Store) -> list[tuple[Any, ...]]:
    with store.engine.connect() as connection:
        return [tuple(row) for table in metadata.sorted_tables for row in connection.execute(table.select()).fetchall()]


def test_only_runs_that_a_page_asked_for_are_taken_by_workers(store: Store) -> None:
    a_run(store)
    assert store.next_job() is None
    asked = a_run(store, key="one")
    assert a_run(store, key="one") == asked == store.next_job()


def test_of_several_sessions_the_busiest_lag_is_kept(store: Store) -> None:
    run_id = a_run(store)
    for lag_s, kept in ((None, None), (0.004, 0.004), (0.02, 0.02), (None, 0.02)):
        store.lease(run_id)
        store.finish(run_id, "partial", "why", lag_s)
        store.requeue(run_id, enqueued=False)
        assert store.run(run_id).lag_s == kept


def test_the_same_data_is_kept_once(store: Store) -> None:
    assert store.keep("examples", "a", 1, "body") == store.keep("examples", "b", 1, "body")
    assert store.body(store.keep("examples", "a", 1, "카드")) == "카드"


WRITER = """
import sys
from ftvp_core.store.opening import open_store
store = open_store(sys.argv[1])
for at in range(150):
    store.keep("examples", "e", 1, f"{sys.argv[2]} {at}")
"""


def test_several_processes_write_and_nothing_is_lost(store: Store) -> None:
    url = str(store.engine.url)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, str(at)]) for at in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM datasets").scalar() == 600


def test_the_newest_runs_are_read_alone(store: Store) -> None:
    ids = [a_run(store) for _ in range(4)]
    with store.writing() as connection:
        for at, run_id in enumerate(ids):
            changed = {"created_at": float(at), "name": "ab"[at % 2], "folder": f"/{at // 2}"}
            connection.execute(update(runs).where(runs.c.id == run_id).values(changed))
    assert [run.id for run in store.runs(limit=3)] == ids[:0:-1]
    assert [run.id for run in store.runs(name="a")] == [ids[2], ids[0]]
    assert [run.id for run in store.runs(limit=1, name="a", folder="/0")] == [ids[0]]
    assert store.count_runs() == 4
    assert [(one.id, one.name) for one in store.listed()] == [(ids[at], "ab"[at % 2]) for at in (3, 2, 1, 0)]


def test_a_list_tells_each_run_as_it_is_seen_from_outside(store: Store) -> None:
    left, queued, worked_on = (a_run(store) for _ in range(3))
    store.lease(worked_on)
    with store.writing() as connection:
        gone = {"state": "running", "owner": "elsewhere:1:0.00", "beat_at": time.time() - 40}
        connection.execute(update(runs).where(runs.c.id == left).values(gone))
    states = {one.id: one.state for one in store.listed()}
    assert states == {left: "interrupted", queued: "queued", worked_on: "running"}


def test_a_beat_keeps_what_is_said_and_hears_what_is_asked(store: Store) -> None:
    run_id = a_run(store)
    store.lease(run_id)
    assert store.beat(run_id, {"done": 1}, 0.25) == (False, False)
    store.pause(run_id, paused=True)
    before = store.run(run_id)
    assert store.beat(run_id, {"done": 2}) == (False, True)
    store.cancel(run_id)
    assert store.beat(run_id, {"done": 3}) == (True, True)
    now = store.run(run_id)
    assert (before.progress, now.progress, now.lag_s) == ({"done": 1}, {"done": 3}, 0.25)
