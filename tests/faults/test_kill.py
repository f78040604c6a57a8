"""Real kills: nothing that finished is lost or sent again, and the figures are an uninterrupted run's."""

import signal
import time
from typing import Any

import pytest

from tests.fault_server import Served, fault_server
from tests.faults.conftest import PRICE, Project, truth

N, IN_FLIGHT = 120, 8
SAME = ("n", "n_scored", "n_failed", "n_ungraded", "accuracy", "interval")


def until_served(served: Served, requests: int) -> None:
    limit = time.monotonic() + 120
    while served.requests < requests:
        assert time.monotonic() < limit, "the server was not asked in time"
        time.sleep(0.005)


def figures(report: dict[str, Any]) -> list[Any]:
    return [[one[key] for key in SAME] for one in report["candidates"]] + [report["pairs"]]


def test_three_kills_change_no_figure_and_repeat_only_what_was_under_way(project: Project) -> None:
    models = {"a": PRICE, "b": PRICE}
    with fault_server(latency_s=0.03, f429=0.1) as served:
        project.write(served, n=N, models=models, concurrency=IN_FLIGHT, cache=False)
        arguments: tuple[str, ...] = ("run", str(project.file))
        asked_when_finished: dict[tuple[str, int], int] = {}
        for kill in range(1, 4):
            process = project.start(*arguments)
            until_served(served, kill * 60)
            process.kill()
            process.communicate()
            run_id, state = project.newest()
            assert state == "interrupted"
            for arm, example in project.finished():
                unit = ("ab"[arm], example)
                asked_when_finished.setdefault(unit, served.attempts[unit])
            arguments = ("run", str(project.file), "--resume", run_id)
        status, report, _ = project.run("--resume", run_id)
        assert (status, report["state"]) == (0, "done")
        assert len(asked_when_finished) > 50
        assert all(served.attempts[unit] == asked for unit, asked in asked_when_finished.items())
        assert sum(served.answered.values()) <= 2 * N + 3 * IN_FLIGHT
        attempts = sum(one["attempts"] for one in report["candidates"])
        assert served.requests <= attempts <= served.requests + 3 * IN_FLIGHT  # intended and killed before sending
        assert sum(one["attempts_cost_unknown"] for one in report["candidates"]) <= 3 * IN_FLIGHT
        status, uninterrupted, _ = project.run()
    assert figures(report) == figures(uninterrupted)
    assert [one["accuracy"] for one in report["candidates"]] == [truth("a", N), truth("b", N)]


def test_a_kill_does_not_lose_how_busy_the_machine_was(project: Project) -> None:
    with fault_server(latency_s=0.1) as served:
        process = project.start("run", str(project.write(served, n=1000, concurrency=4)))
        until_served(served, 1)
        limit = time.monotonic() + 120
        while project.lag_s() is None:  # it is kept with each beat
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.kill()
        process.communicate()
    assert project.newest()[1] == "interrupted" and project.lag_s() is not None


def test_an_interrupt_is_a_cancelled_run_that_can_go_on(project: Project) -> None:
    with fault_server(latency_s=0.2) as served:
        project.write(served, n=N, concurrency=IN_FLIGHT)
        process = project.start("run", str(project.file))
        until_served(served, 30)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        run_id, state = project.newest()
        assert (process.returncode, state) == (2, "cancelled")
        assert "--resume" in error and "Traceback" not in error
        status, report, _ = project.run("--resume", run_id)
    (one,) = report["candidates"]
    assert (status, one["n_scored"], one["accuracy"]) == (0, N, truth("m", N))
    assert one["attempts"] <= N + IN_FLIGHT


@pytest.mark.parametrize("changed", ["prompt", "eval set"])
def test_a_changed_file_or_eval_set_is_not_mixed_in(project: Project, changed: str) -> None:
    with fault_server(f401=1.0) as served:
        project.write(served)
        project.run()
        before = served.requests
        if changed == "prompt":
            project.edit(candidates=[{"name": "m", "model": "sim/m", "prompt": {"user": "Now: {question}"}}])
        else:
            rows = project.folder / "eval.jsonl"
            rows.write_text(rows.read_text().replace("right?", "wrong?"))
        status, _, error = project.run("--resume", project.newest()[0])
    assert (status, served.requests) == (1, before)
    assert "changed" in error and error.count("\n") == 1


def test_a_finished_run_is_reported_again_without_its_file_its_key_or_a_call(project: Project) -> None:
    project.environment["SIM_KEY"] = "k"
    with fault_server() as served:
        project.write(served)
        project.edit(providers={"sim": {"base_url": served.url, "api_key_env": "SIM_KEY"}})
        _, first, _ = project.run()
        del project.environment["SIM_KEY"]
        project.file.unlink()
        again = project.folder / "again.json"
        done = project.call("run", "--resume", first["run_id"], "--json", str(again))
    assert (done.returncode, served.requests) == (0, 60)
    assert again.read_text() == (project.folder / "report.json").read_text()
