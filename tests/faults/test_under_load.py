"""The load curve against a server whose capacity is known: every call is real, in the ledger, and in the budget."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.jobs.execute import execute
from ftvp_core.report.load import load_report
from ftvp_core.report.write import to_json
from ftvp_core.runs.estimate import estimate
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.runs.stored import new_run
from ftvp_core.spec import load
from ftvp_core.store.opening import open_store
from tests.fault_server import TOKENS_IN, TOKENS_OUT, fault_server
from tests.faults.conftest import PRICE, Project

LEVELS = {"concurrency": [1, 8], "examples": 16}
EACH = (TOKENS_IN * PRICE["input"] + TOKENS_OUT * PRICE["output"]) / 1e6


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("FTVP_HOME", project.environment["FTVP_HOME"])
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    return project


def run(project: Project) -> tuple[str, dict[str, Any]]:
    store, spec = open_store(), load(project.file)
    plan = make_plan(spec, read_sources(spec, project.folder))
    run_id = new_run(store, plan, project.folder, {})
    ended = execute(store, run_id)
    return ended.state, json.loads(to_json(load_report(store, run_id)))


def test_each_level_is_asked_alone_after_the_comparison_and_is_no_part_of_it(inside: Project) -> None:
    with fault_server(latency_s=0.05) as served:
        inside.write(served, n=10, models={"a": PRICE, "b": PRICE}, load=LEVELS, repeats=2, concurrency=2)
        spec = load(inside.file)
        assert estimate(make_plan(spec, read_sources(spec, inside.folder))).calls == 2 * 10 * 2 + 2 * 2 * 16
        state, report = run(inside)
        assert (state, served.requests) == ("done", 2 * 10 * 2 + 2 * 2 * 16)
        asked = served.asked[40:]
        assert asked[:16] == [f"[ex-{at % 10}] right?" for at in range(16)]  # one after another, over and over
        state, again = run(inside)  # the cache has the comparison, and nothing of the load
        assert served.requests == 40 + 2 * 64
    assert [one["attempts"] for one in report["candidates"]] == [20, 20]
    assert [one["n"] for one in report["candidates"]] == [20, 20]
    assert [one["attempts"] for one in again["candidates"]] == [0, 0]
    for curve in report["load"]:
        one, eight = curve["points"]
        assert [point["concurrency"] for point in (one, eight)] == [1, 8]
        assert (one["n"], one["failed"], eight["n"], eight["failed"]) == (16, 0, 16, 0)
        assert one["latency_s"]["p50"] >= 0.05 and one["per_s"] <= 1 / 0.05
        assert eight["per_s"] > 0
    assert 2 < served.most_in_flight <= 8  # more than the comparison itself has
    with closing(sqlite3.connect(inside.folder / "home" / "ftvp.db")) as connection:
        purposes = dict(connection.execute("SELECT purpose, count(*) FROM attempts GROUP BY purpose"))
        spent = [row[0] / 1e12 for row in connection.execute("SELECT spent_usd FROM runs ORDER BY created_at")]
    assert purposes == {"generation": 40, "load": 128}
    assert spent == pytest.approx([104 * EACH, 64 * EACH])


def test_failed_calls_are_counted_at_their_level(inside: Project) -> None:
    with fault_server(f400=0.2) as served:
        inside.write(served, n=20, load=LEVELS)
        _, report = run(inside)
    (curve,) = report["load"]
    assert sum(point["failed"] for point in curve["points"]) > 0
    assert all(point["n"] + point["failed"] == 16 for point in curve["points"])
    assert report["candidates"][0]["attempts"] == 20


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"run": {"load": {"concurrency": [1, 64], "examples": 32}}}, "as many as the largest concurrency"),
        ({"candidates": [{"name": "f", "recorded": "a.csv"}], "run": {"load": {}}}, "no server's candidate"),
    ],
)
def test_a_load_that_cannot_be_is_refused_before_any_call(inside: Project, keys: dict[str, Any], said: str) -> None:
    with fault_server() as served:
        inside.write(served, n=10)
        (inside.folder / "a.csv").write_text("id,output\nr1,yes\n")
        inside.edit(**keys)
        with pytest.raises(UserError, match=said):
            run(inside)
    assert served.requests == 0
