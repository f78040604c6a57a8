"""What is reported is what was true, what was served and what was billed."""

import csv
import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from ftvp_core.report.load import load_report
from ftvp_core.store.opening import open_store
from tests.fault_server import ODD, TOKENS_IN, TOKENS_OUT, fault_server
from tests.faults.conftest import PRICE, Project, billed_usd, truth


@pytest.mark.parametrize(
    ("shares", "stream"),
    [
        ({}, False),
        ({}, True),
        ({"f429": 0.3}, False),
        ({"f429_date": 0.02}, False),
        ({"f500": 0.3}, False),
        ({"drop": 0.2}, False),
        ({"malformed": 0.2}, False),
        ({"reset": 0.2}, True),
        ({"f429": 0.1, "f500": 0.1, "drop": 0.1, "malformed": 0.1}, False),
    ],
    ids=["plain", "streamed", "429", "429 until a date", "500", "dropped", "malformed", "reset in the stream", "all"],
)
def test_accuracy_attempts_tokens_and_cost_are_exact(project: Project, shares: dict[str, float], stream: bool) -> None:
    with fault_server(**shares) as served:
        project.write(served)
        sampling = {"stream": stream}
        candidate = {"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "sampling": sampling}
        project.edit(candidates=[candidate])
        status, report, _ = project.run()
    (one,) = report["candidates"]
    assert (status, report["state"]) == (0, "done")
    assert (one["n"], one["n_scored"], one["n_failed"], one["n_ungraded"]) == (60, 60, 0, 0)
    assert one["accuracy"] == truth("m")
    assert one["attempts"] == served.requests >= 60
    lost = one["attempts_cost_unknown"]
    assert lost == served.billed["m"] - 60
    assert bool(lost) == bool({"drop", "malformed", "reset"} & set(shares))
    known = billed_usd(served, {"m": PRICE}) * 60 / served.billed["m"]
    assert one["cost_usd"] == pytest.approx(known, abs=1e-12)
    assert one["cost_per_1k_usd"] == pytest.approx(known / 60 * 1000, abs=1e-12)
    assert one["tokens"] == {"input": 60 * TOKENS_IN, "cached_input": 0, "output": 60 * TOKENS_OUT}
    assert (one["ttft_s"] is not None) == stream


def test_null_content_fails_without_another_try_and_empty_content_is_an_answer(project: Project) -> None:
    with fault_server(null=0.2, empty=0.2) as served:
        project.write(served)
        status, report, _ = project.run()
    (one,) = report["candidates"]
    assert status == 0 and one["attempts"] == served.requests == 60
    assert one["n_failed"] == one["attempts_cost_unknown"] > 0
    assert one["n_scored"] + one["n_failed"] == 60
    assert one["accuracy"] < truth("m")  # an empty answer was scored, and was wrong


def test_odd_answers_are_scored_failed_or_tried_again_by_rule(project: Project) -> None:
    shares = {"null": 0.1, "malformed": 0.2, **dict.fromkeys(ODD, 0.1)}
    with fault_server(**shares) as served:
        project.write(served)
        status, report, _ = project.run("--csv", str(project.folder / "rows.csv"))
        drawn = [served._fault("m", at, served.attempts["m", at]) for at in range(60)]  # of each row's last try
    (one,) = report["candidates"]
    rows = list(csv.DictReader((project.folder / "rows.csv").read_text().splitlines()))
    said = {"empty": "", "zero": "0", "refusal": "I can't.", "length": "ye"}
    for fault, row in zip(drawn, rows, strict=True):
        if fault in {"null", "false"}:  # no text: failed, neither right nor wrong
            assert (row["output"], row["grade"], row["error"]) == ("", "", "the answer has no content")
        elif fault in said:  # a text, whatever it is: graded as it stands
            assert (row["output"], float(row["grade"]), row["error"]) == (said[fault], 0, "")
        else:
            assert (row["output"] in {"yes", "no"}, fault) == (True, None)
    failed = sum(fault in {"null", "false"} for fault in drawn)
    right = sum(float(row["grade"] or 0) for row in rows)
    assert {*ODD, "null"} <= {*drawn} and one["attempts"] == served.requests > 60
    assert (status, one["n"], one["n_failed"], one["n_ungraded"]) == (0, 60, failed, 0)
    assert one["accuracy"] == pytest.approx(right / (60 - failed))
    cut = drawn.count("length")
    assert (one["n_cut"], one["n_cut_wrong"]) == (cut, cut)
    (warned,) = (each["message"] for each in report["decision"]["warnings"] if each["id"] == "cut-answers")
    assert warned.startswith(f"m: {cut} of 60 answers were cut at max_tokens and graded as they stand, {cut} of them")


def test_a_hanging_request_is_given_up_at_its_deadline_and_tried_again(project: Project) -> None:
    with fault_server(hang=0.05) as served:
        project.write(served, timeout_s=0.5)
        status, report, _ = project.run()
    (one,) = report["candidates"]
    assert (status, one["n_scored"], one["accuracy"]) == (0, 60, truth("m"))
    assert one["attempts"] == served.requests
    assert one["attempts_cost_unknown"] == served.requests - 60 > 0
    assert one["latency_s"]["p99"] < 0.5  # a deadline is no latency


def test_a_single_failed_row_ends_nothing(project: Project) -> None:
    with fault_server(f400=0.1) as served:
        project.write(served)
        status, report, _ = project.run()
    (one,) = report["candidates"]
    assert (status, report["state"]) == (0, "done")
    assert 0 < one["n_failed"] == 60 - one["n_scored"]
    assert one["attempts"] == 60 and one["attempts_cost_unknown"] == 0


@pytest.mark.parametrize(
    ("fault", "said", "most"),
    [
        ("f401", "wrong key", 8 + 1),
        ("quota", "no money left", 8 + 1),
        ("f429_day", "parked: asks to wait 86,4", 8 + 1),
        ("f429_ever", "parked: asks to wait 31,6", 8 + 1),
        ("f429", "429", 60 * 8),
    ],
)
def test_a_provider_that_cannot_answer_is_stopped_visibly(project: Project, fault: str, said: str, most: int) -> None:
    with fault_server(**{fault: 1.0}) as served:
        project.write(served)
        began = time.monotonic()
        status, report, error = project.run()
    assert time.monotonic() - began < 60
    (one,) = report["candidates"]
    assert (status, report["state"], one["accuracy"], one["interval"]) == (2, "failed", None, None)
    assert (one["n"], one["n_failed"], one["cost_usd"]) == (60, 60, 0)
    assert one["attempts"] == served.requests <= most
    assert said in error and "--resume" in error


def test_a_stopped_run_goes_on_when_the_provider_is_back(project: Project) -> None:
    with fault_server(f401=1.0) as served:
        project.write(served)
        assert project.run()[0] == 2
        served.faults.shares = {}
        status, report, _ = project.run("--resume", project.newest()[0])
    (one,) = report["candidates"]
    assert (status, one["n_scored"], one["accuracy"]) == (0, 60, truth("m"))
    assert one["attempts"] == served.requests


def test_a_second_run_is_the_caches_and_a_changed_prompt_is_not(project: Project) -> None:
    with fault_server() as served:
        project.write(served)
        report = project.run()[1]
        (first,) = report["candidates"]
        assert "from-cache" not in [one["id"] for one in report["decision"]["warnings"]]
        report = project.run()[1]
        (second,) = report["candidates"]
        assert served.requests == 60
        assert (second["attempts"], second["cost_usd"], second["tokens"]["input"]) == (0, 0, 0)
        for key in ("accuracy", "interval", "cost_per_1k_usd", "latency_s", "n_scored"):
            assert second[key] == first[key]
        (cached,) = [one for one in report["decision"]["warnings"] if one["id"] == "from-cache"]
        assert cached["message"].startswith("m: 60 of 60 answers came from the cache")
        project.edit(run={"concurrency": 8, "max_cost_usd": 5, "cache": False})
        project.run()
        assert served.requests == 120
        changed: dict[str, Any] = {"name": "m", "model": "sim/m", "prompt": {"user": "Now: {question}"}}
        project.edit(candidates=[changed], run={"concurrency": 8, "max_cost_usd": 5})
        project.run()
        assert served.requests == 180


@pytest.mark.parametrize(("fault", "said"), [("missing_model", "no such model"), ("forbidden_model", "not your model")])
def test_a_model_that_is_missing_or_not_allowed_stops_its_own_candidate_alone(
    project: Project, fault: str, said: str
) -> None:
    with fault_server() as served:
        setattr(served.faults, fault, "wrong")
        project.write(served, models={"wrong": PRICE, "m": PRICE})
        status, report, error = project.run()
    wrong, good = report["candidates"]
    assert (status, report["state"]) == (2, "partial")
    assert "sim/wrong: stopped after HTTP 40" in error and said in error
    assert wrong["attempts"] <= 8 + 1 and wrong["accuracy"] is None
    assert (good["n_scored"], good["accuracy"]) == (60, truth("m"))


def test_where_no_call_was_answered_the_commonest_cause_is_named(project: Project) -> None:
    with fault_server(f400=0.9, null=0.1) as served:
        project.write(served, n=7)
        status, report, error = project.run()
    assert (status, report["state"]) == (2, "failed")
    assert "m: no call was answered (HTTP 400: this row is too long)" in error


def test_a_provider_that_asks_for_a_day_is_parked_and_the_run_goes_on_without_it_and_later_with_it(
    project: Project,
) -> None:
    with fault_server(f429_day=1.0) as away, fault_server() as here:
        project.write(here, models={"m": PRICE})
        project.edit(
            providers={"sim": {"base_url": here.url}, "away": {"base_url": away.url}},
            prices={"sim/m": PRICE, "away/m": PRICE},
            candidates=[
                {"name": name, "model": f"{name}/m", "prompt": {"user": "{question}"}} for name in ("away", "sim")
            ],
        )
        status, report, error = project.run()
        tomorrow = datetime.fromtimestamp(time.time() + 86_400, UTC)
        assert (status, report["state"], away.requests <= 8 + 1) == (2, "partial", True)
        assert f"away: parked: asks to wait 86,400 s, until {tomorrow:%Y-%m-%d}" in error
        assert [one["n_scored"] for one in report["candidates"]] == [0, 60]
        away.faults.shares = {}
        status, report, _ = project.run("--resume", project.newest()[0])
    assert (status, here.requests) == (0, 60)
    assert [one["accuracy"] for one in report["candidates"]] == [truth("m"), truth("m")]


def test_rows_are_asked_in_the_files_order_over_many_windows_and_what_the_cache_has_is_left_out(
    project: Project,
) -> None:
    with fault_server(latency_s=0) as served:
        project.write(served, n=300, models={"a": PRICE, "b": PRICE}, concurrency=1)
        project.edit(eval_set={"path": "eval.jsonl", "limit": 150, "seed": 1})
        assert project.run()[0] == 0
        first = list(served.asked)
        project.edit(eval_set={"path": "eval.jsonl"})
        status, report, _ = project.run()
    assert (status, len(first), len(served.asked)) == (0, 300, 600)
    expected = [question for at in range(300) if (question := f"[ex-{at}] right?") not in first for _ in "ab"]
    assert served.asked[300:] == expected
    assert [one["accuracy"] for one in report["candidates"]] == [truth("a", 300), truth("b", 300)]
    assert [one["n_scored"] for one in report["candidates"]] == [300, 300]
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection, connection:
        connection.execute("UPDATE results SET latency_s = 9 WHERE from_cache")
    store = open_store(f"sqlite:///{project.folder / 'home' / 'ftvp.db'}")
    (slow, _) = load_report(store, report["run_id"]).comparison.candidates
    assert slow.latency_s is not None and slow.latency_s.p99 < 9  # enough are of this run's own calls
    (said,) = [one["message"] for one in report["decision"]["warnings"] if one["id"] == "from-cache"]
    assert said.startswith("a, b: 150 of 300 answers came from the cache")
    assert said.endswith("; latency is of the other 150 alone")


@pytest.mark.parametrize(("lag_ms", "warned"), [(0.01, False), (40, True)])
def test_a_latency_that_a_busy_machine_measured_is_marked(project: Project, lag_ms: float, warned: bool) -> None:
    with fault_server(latency_s=0.05) as served:
        project.write(served)
        project.run()
    run_id, _ = project.newest()
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection, connection:
        ((measured,),) = connection.execute("SELECT lag_s FROM runs")
        connection.execute("UPDATE runs SET lag_s = ?", (lag_ms / 1000,))
    assert 0 < measured < 10
    again = project.folder / "again.json"
    assert project.call("export", run_id, "--json", str(again)).returncode == 0
    said = [
        one["message"] for one in json.loads(again.read_text())["decision"]["warnings"] if one["id"] == "busy-machine"
    ]
    assert len(said) == warned
    assert all("its own lag of 40 ms isn't small" in one for one in said)
