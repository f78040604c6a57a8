"""An output schema on a server that holds to it, refuses it, or takes it without effect."""

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, draw, fault_server
from tests.faults.conftest import PRICE, Project, billed_usd, truth

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
N = 60


def structured(project: Project, served: Served, schema: Any = SCHEMA, n: int = N, **run: Any) -> None:
    """A comparison of one candidate with a schema, graded as JSON."""
    project.write(served, n=n, **run)
    rows = [{"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": '{"answer":"yes"}'} for at in range(n)]
    (project.folder / "eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    candidate = {"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "output_schema": schema}
    project.edit(candidates=[candidate], graders=["json_match"])


def stored(project: Project) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection:
        connection.row_factory = sqlite3.Row
        return list(connection.execute("SELECT * FROM results ORDER BY run_id, example"))


def test_a_native_mode_is_used_strictly_and_valid_by_its_own_figure(project: Project) -> None:
    with fault_server() as served:
        structured(project, served)
        status, report, error = project.run("--csv", str(project.folder / "rows.csv"))
    assert f"{N} calls and up to {N} repairs" in error
    (one,) = report["candidates"]
    assert (status, one["n_scored"], one["attempts"], served.requests) == (0, N, N, N)
    assert one["accuracy"] == truth("m"), "valid beside correct: a valid answer can be wrong"
    valid = one["valid_output"]
    assert (valid["value"], valid["n"], valid["modes"]) == (1.0, N, {"native": N})
    assert valid["interval"] == pytest.approx([0.9398, 1.0], abs=1e-4)  # Wilson, 60 of 60 (statsmodels)
    expected = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    assert served.formats == [expected] * N
    assert (project.folder / "rows.csv").read_text().splitlines()[0].endswith(",error,valid_output")


@pytest.mark.parametrize(("mode", "lost"), [("refuse", 0), ("ignore", 1)])
def test_without_a_native_mode_it_is_prompted_and_repaired_once(project: Project, mode: str, lost: int) -> None:
    with fault_server() as served:
        served.faults.json_mode, served.faults.json_share, served.faults.repaired_share = mode, 0.5, 0.5
        if mode == "ignore":
            served.faults.json_share = 0.0  # else the first answer may look as if it were held to the schema
        structured(project, served)
        status, report, _ = project.run()
    (one,) = report["candidates"]
    assert status == 0
    assert len(served.formats) == 1, "one row alone decides the mode"
    assert served.prompted - served.repairs == N
    assert 0 < served.repairs <= N
    assert one["attempts"] == served.requests == N + served.repairs + 1
    assert one["tokens"]["output"] == (N + served.repairs + lost) * TOKENS_OUT
    assert one["cost_usd"] == pytest.approx(billed_usd(served, {"m": PRICE}), abs=1e-12)
    each = (TOKENS_IN * PRICE["input"] + TOKENS_OUT * PRICE["output"]) / 1e6
    assert one["cost_per_1k_usd"] == pytest.approx(1000 * each * (N + served.repairs) / N, abs=1e-12)
    rows = stored(project)
    repaired = [row for row in rows if row["json_mode"] == "repaired"]
    assert len(repaired) == served.repairs
    assert {row["input_tokens"] for row in repaired} == {2 * TOKENS_IN}
    assert min(row["latency_s"] for row in repaired) >= 0.02, "the user waits for both calls of 0.01 s"
    assert one["valid_output"]["value"] == sum(row["valid"] for row in rows) / N < 1
    assert one["valid_output"]["modes"] == {
        name: count for name, count in (("repaired", len(repaired)), ("prompted", N - len(repaired))) if count
    }
    right = [draw("json", "m", at, True) < 0.5 for at in range(N) if rows[at]["json_mode"] == "repaired"]
    assert sum(right) == sum(row["valid"] for row in repaired)
    asked = [messages for messages in served.messages if messages[-1]["content"].startswith("Your answer")]
    assert all(messages[-2]["content"].startswith("I would say") for messages in asked)
    assert all("not JSON" in messages[-1]["content"] for messages in asked)


def test_a_second_run_is_answered_by_the_cache_in_the_mode_of_the_first(project: Project) -> None:
    with fault_server() as served:
        served.faults.json_mode = "refuse"
        structured(project, served)
        _, first, _ = project.run()
        asked = served.requests
        _, second, _ = project.run()
        assert served.requests == asked
        served.faults.json_mode = "native"
        project.edit(eval_set={"path": "eval.jsonl", "limit": 20}, run={"cache": False, "max_cost_usd": 5})
        _, third, _ = project.run()
    one, two, three = (report["candidates"][0] for report in (first, second, third))
    assert two["valid_output"] == one["valid_output"]
    assert (two["cost_usd"], two["cost_per_1k_usd"]) == (0, one["cost_per_1k_usd"])
    assert three["valid_output"]["modes"] == {"native": 20}


def test_the_limit_holds_with_repairs(project: Project) -> None:
    price = {"m": {"input": 30.0, "output": 120.0}}
    with fault_server(latency_s=0.02) as served:
        served.faults.json_mode = "refuse"
        structured(project, served, models=price, concurrency=32, max_cost_usd=0.06)
        status, report, error = project.run()
        assert (status, report["state"]) == (2, "partial")
        assert "limit" in error and served.repairs
        assert 0 < billed_usd(served, price) <= 0.06
        (one,) = report["candidates"]
        assert one["cost_usd"] == pytest.approx(billed_usd(served, price), abs=1e-12)
        status, report, _ = project.run("--resume", report["run_id"], "--max-cost", "20")
    assert (status, report["candidates"][0]["n_scored"]) == (0, N)
    assert report["candidates"][0]["attempts"] == served.requests
    assert len(served.formats) == 1, "a resume knows the mode"


def test_a_kill_during_repairs_leaves_one_result_a_row(project: Project) -> None:
    with fault_server(latency_s=0.05) as served:
        served.faults.json_mode = "ignore"
        structured(project, served, concurrency=8, cache=False)
        process = project.start("run", str(project.file))
        limit = time.monotonic() + 30
        while served.repairs < 20:
            assert time.monotonic() < limit
            time.sleep(0.005)
        process.kill()
        process.communicate()
        before = project.finished()
        assert 0 < len(before) < N
        asked = {example: served.attempts["m", example] for _, example in before}
        status, report, _ = project.run("--resume", project.newest()[0])
    (one,) = report["candidates"]
    assert (status, one["n"], one["n_scored"], one["valid_output"]["n"]) == (0, N, N, N)
    assert one["accuracy"] == truth("m")
    assert {example: served.attempts["m", example] for example in asked} == asked
    assert served.requests <= one["attempts"] <= served.requests + 8


@pytest.mark.parametrize(
    ("model", "schema", "said"),
    [
        ("sim/m", {"properties": {"age": {"type": "numbr"}}}, "output_schema.properties.age.type"),
        ("sim/m", {"properties": {"age": {"$ref": "#/$defs/age"}}}, "output_schema.properties.age.$ref"),
        ("local/demo", {"properties": {"ids": {"type": "array", "uniqueItems": True}}}, "properties.ids"),
    ],
)
def test_a_schema_that_is_none_is_said_with_its_place_before_any_call(
    project: Project, model: str, schema: Any, said: str
) -> None:
    with fault_server() as served:
        structured(project, served)
        project.edit(candidates=[{"name": "m", "model": model, "output_schema": schema}])
        status, _, error = project.run()
    assert (status, served.requests) == (1, 0)
    assert said in error and error.count("\n") == 1
