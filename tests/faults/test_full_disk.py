"""No room for the store: the run ends with one line, what was committed is kept, and with room it goes on."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from ftvp_core.errors import RunStopped
from ftvp_core.jobs import worker
from ftvp_core.jobs.execute import execute
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.runs.stored import new_run
from ftvp_core.spec import load
from ftvp_core.store.measurements import ask, measurement
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store
from tests.fault_server import fault_server
from tests.faults.conftest import ROOT, Project, truth

N = 300
LIMITED = (
    "import resource, runpy, sys;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY));"
    "runpy.run_module('ftvp_core', run_name='__main__')"
)


def test_a_full_database_ends_a_run_with_its_cause_and_keeps_what_finished(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTVP_HOME", str(project.folder / "home"))
    with fault_server(latency_s=0) as served:
        spec = load(project.write(served, n=N, cache=False))
        plan = make_plan(spec, read_sources(spec, project.folder))
        store = open_store()
        run_id = new_run(store, plan, project.folder, {})
        pages = pages_of(project.folder / "home" / "ftvp.db") + 6

        def full(connection: Any, _: Any) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        event.listen(store.engine, "connect", full)
        store.engine.dispose()
        assert "the store can't be written (database or disk is full)" in said_by(store, run_id)
        finished = store.finished(run_id)
        assert 10 < len(finished) < N
        event.remove(store.engine, "connect", full)
        store.engine.dispose()
        store.requeue(run_id, enqueued=False)
        assert execute(store, run_id).state == "done"
        assert len(store.finished(run_id)) == N
        assert {served.attempts["m", example] for _, example, _ in finished} == {1}


def test_a_file_that_cannot_grow_ends_the_command_with_one_line(project: Project) -> None:
    with fault_server(latency_s=0.002) as served:
        file = project.write(served, n=N, cache=False)
        project.call("runs")  # makes the store
        room = (project.folder / "home" / "ftvp.db").stat().st_size + 300_000
        command = [sys.executable, "-c", LIMITED, str(room), "run", str(file)]
        done = subprocess.run(
            command, cwd=ROOT, env=project.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2 and "Traceback" not in done.stderr
        run_id, state = project.newest()
        assert done.stderr.splitlines()[-1].startswith("ftvp: run ") and "can't be written" in done.stderr
        assert state in {"interrupted", "partial"}
        finished = project.finished()
        assert 10 < len(finished) < N
        status, report, _ = project.run("--resume", run_id)
    (one,) = report["candidates"]
    assert (status, one["n_scored"], one["accuracy"]) == (0, N, truth("m", N))
    assert {served.attempts["m", example] for _, example in finished} == {1}
    assert one["attempts_cost_unknown"] <= 2 * 8


def test_a_store_that_cannot_be_written_for_a_while_does_not_end_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path))
    monkeypatch.setattr(worker, "AFTER_TROUBLE_S", 0.0)
    store = open_store()
    ask(store, "m", {"spec": "no comparison", "folder": str(tmp_path)})

    def read_only(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA query_only = ON")

    event.listen(store.engine, "connect", read_only)
    store.engine.dispose()
    rounds = 0

    def until() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            event.remove(store.engine, "connect", read_only)
            store.engine.dispose()
        row = measurement(store, "m")
        return rounds > 10 or (row is not None and row.error is not None)

    worker.work(store, until=until)
    found = measurement(store, "m")
    assert found is not None and (found.error or "").startswith("a candidate to measure: found text")
    assert rounds == 4


def said_by(store: Store, run_id: str) -> str:
    """Why the run ended: kept with it, where there is room for that at least."""
    try:
        ended = execute(store, run_id)
    except RunStopped as error:
        return str(error)
    assert (ended.state, store.run(run_id).state) == ("partial", "partial")
    return str(ended.cause)


def pages_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])
