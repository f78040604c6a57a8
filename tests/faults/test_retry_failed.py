"""The rows that failed are asked again, and they alone."""

import sqlite3
from contextlib import closing

from tests.fault_server import fault_server
from tests.faults.conftest import Project, truth


def test_only_what_failed_is_asked_again_and_attempts_are_numbered_on(project: Project) -> None:
    with fault_server(f400=0.2) as served:
        project.write(served, concurrency=16)  # more than fail, so that no run of failures stops the server
        _, report, _ = project.run()
        run_id, state = project.newest()
        failed = report["candidates"][0]["n_failed"]
        assert state == "done" and 0 < failed < 30
        answered = set(served.answered)
        served.faults.shares = {}
        project.run("--resume", run_id)
        assert served.requests == 60  # a finished run sends nothing
        status, report, _ = project.run("--resume", run_id, "--retry-failed")
        (one,) = report["candidates"]
        assert (status, report["state"], one["n_failed"], one["accuracy"]) == (0, "done", 0, truth("m"))
        assert one["attempts"] == served.requests == 60 + failed
        assert all(served.attempts[unit] == 1 for unit in answered)
        project.run("--resume", run_id, "--retry-failed")
        assert served.requests == 60 + failed  # nothing failed any more
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection:
        tried = connection.execute("SELECT max(attempt), count(*) FROM attempts GROUP BY example").fetchall()
    assert sorted(tried) == [(1, 1)] * (60 - failed) + [(2, 2)] * failed


def test_without_a_run_to_resume_there_is_nothing_to_retry(project: Project) -> None:
    with fault_server() as served:
        project.write(served)
        status, _, error = project.run("--retry-failed")
    assert (status, served.requests) == (1, 0)
    assert "--resume" in error and error.count("\n") == 1
