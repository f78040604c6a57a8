"""A process that was suspended for so long that its run was taken up elsewhere: it wakes, says so, and writes nothing."""

import signal
import sqlite3
from contextlib import closing
from typing import Any

from tests.fault_server import fault_server
from tests.faults.conftest import Project, billed_usd, truth
from tests.faults.test_kill import until_served

N, IN_FLIGHT = 120, 8
DEAR, CHEAP = {"input": 30.0, "output": 120.0}, {"input": 0.5, "output": 1.5}
LIMIT_USD = 0.16


def test_a_suspended_process_overwrites_nothing_of_who_took_up_its_run(project: Project) -> None:
    with fault_server(latency_s=0.05) as served:
        project.write(served, n=N, concurrency=IN_FLIGHT, cache=False)
        suspended = project.start("run", str(project.file), "--json", str(project.folder / "suspended.json"))
        until_served(served, 30)
        suspended.send_signal(signal.SIGSTOP)
        silence(project)
        run_id, state = project.newest()
        assert state == "interrupted"
        status, report, _ = project.run("--resume", run_id)
        assert (status, report["state"]) == (0, "done")
        before, asked = everything(project), served.requests
        suspended.send_signal(signal.SIGCONT)
        _, error = suspended.communicate(timeout=60)
    assert suspended.returncode == 2
    assert error.splitlines()[-1].startswith(f"ftvp: run {run_id} was taken up, or ended, by another process")
    assert "Traceback" not in error
    assert everything(project) == before
    assert served.requests == asked  # and asks nothing more
    assert report["candidates"][0]["accuracy"] == truth("m", N)


def test_a_limit_holds_over_a_suspended_process_its_successor_and_a_restart(project: Project) -> None:
    prices = {"dear": DEAR, "cheap": CHEAP}
    with fault_server(latency_s=0.05) as served:
        project.write(served, n=N, models=prices, concurrency=IN_FLIGHT, cache=False, max_cost_usd=LIMIT_USD)
        project.edit(
            candidates=[
                {"name": name, "model": f"sim/{name}", "prompt": {"user": "{question}"}, "sampling": {"max_tokens": n}}
                for name, n in {"dear": 64, "cheap": 4096}.items()
            ]
        )
        first = project.start("run", str(project.file))
        until_served(served, 20)
        first.send_signal(signal.SIGSTOP)
        silence(project)
        run_id, _ = project.newest()
        second = project.start("run", "--resume", run_id)
        until_served(served, 60)
        first.send_signal(signal.SIGCONT)  # both are at it now
        until_served(served, 90)
        second.kill()
        assert [process.wait(30) for process in (first, second)] == [2, -signal.SIGKILL]
        status, report, error = project.run("--resume", run_id)
        for process in (first, second):
            process.communicate()
    assert (status, report["state"]) == (2, "partial") and "limit" in error
    assert 0.1 * LIMIT_USD < billed_usd(served, prices) <= LIMIT_USD
    known = sum(one["cost_usd"] for one in report["candidates"])
    assert known <= billed_usd(served, prices)
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection:
        (spent, reserved), *_ = connection.execute("SELECT spent_usd, reserved_usd FROM runs")
        held = connection.execute("SELECT sum(reserve_usd) FROM attempts WHERE cost_usd IS NULL").fetchone()[0]
    assert spent / 1e12 == round(known, 12) and reserved == held
    assert spent + reserved <= LIMIT_USD * 1e12


def silence(project: Project) -> None:
    """As if the process hadn't beaten for a minute."""
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db", timeout=30)) as connection, connection:
        connection.execute("UPDATE runs SET beat_at = beat_at - 60")


def everything(project: Project) -> list[Any]:
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("runs", "attempts", "results")]
