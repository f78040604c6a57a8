"""Batches: half the price, no latency, every attempt accounted for, whatever the provider or a kill does to them."""

import asyncio
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.jobs.execute import execute
from ftvp_core.jobs.progress import run_progress
from ftvp_core.report.load import load_report
from ftvp_core.report.write import to_json
from ftvp_core.runs import batch_outcomes, batch_requests, in_batches, patient
from ftvp_core.runs.cached import keyed
from ftvp_core.runs.on_servers import OnServers
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.runs.stored import new_run
from ftvp_core.spec import load
from ftvp_core.store.opening import open_store
from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, fault_server
from tests.faults.conftest import PRICE, Project, truth

N = 40
HALF = (TOKENS_IN * PRICE["input"] + TOKENS_OUT * PRICE["output"]) / 1e6 / 2

#: The most that a row may cost in a batch.
RESERVE = (len('[{"role": "user", "content": "[ex-10] right?"}]') * 0.15 + 256 * 0.60) / 1e6 / 2


def write(project: Project, served: Served, n: int = N, models: tuple[str, ...] = ("m",), **run: Any) -> Path:
    file = project.write(served, n=n, models=dict.fromkeys(models, PRICE), **run)
    project.edit(providers={"sim": {"base_url": served.url, "batch": True}})
    return file


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project's runs in this process: what no kill is needed for is tried without starting another one."""
    monkeypatch.setenv("FTVP_HOME", project.environment["FTVP_HOME"])
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    return project


def run(project: Project, run_id: str | None = None) -> tuple[str, dict[str, Any], str]:
    """A new run, or one that goes on: its state, its only candidate's figures, why it ended."""
    store = open_store()
    spec = load(project.file)
    if run_id is None:
        run_id = new_run(store, make_plan(spec, read_sources(spec, project.folder)), project.folder, {})
    else:
        store.requeue(run_id, enqueued=False)
    ended = execute(store, run_id)
    (one, *_) = json.loads(to_json(load_report(store, run_id)))["candidates"]
    return ended.state, one, ended.cause or ""


def newest() -> str:
    return open_store().runs()[0].id


def until(true: Callable[[], object]) -> None:
    limit = time.monotonic() + 150
    while not true():
        assert time.monotonic() < limit, "it didn't come in time"
        time.sleep(0.005)


def column(project: Project, sql: str) -> list[Any]:
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db", timeout=30)) as connection:
        return [row[0] for row in connection.execute(sql)]


def right(project: Project, one: dict[str, Any], served: Served, billed: int = N) -> None:
    """All is answered, as often as it was billed, at half the price, and no latency is claimed."""
    assert (one["n_scored"], one["n_failed"], one["accuracy"]) == (N, 0, truth("m", N))
    assert served.billed["m"] == billed
    assert (one["latency_s"], one["ttft_s"]) == (None, None)
    assert one["cost_per_1k_usd"] == pytest.approx(1000 * HALF, abs=1e-12)
    assert one["cost_usd"] == pytest.approx((billed - one["attempts_cost_unknown"]) * HALF, abs=1e-12)
    (reserved,) = column(project, "SELECT reserved_usd FROM runs")
    held = column(project, "SELECT coalesce(sum(reserve_usd), 0) FROM attempts WHERE cost_usd IS NULL")
    assert [reserved] == held


def test_a_batch_is_answered_at_half_the_price_and_a_second_run_is_the_caches(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served)
        state, one, _ = run(inside)
        assert state == "done"
        right(inside, one, served)
        assert one["attempts"] == served.requests == N
        assert (served.batches.created, column(inside, "SELECT settled FROM batches")) == (1, [1])
        _, one, _ = run(inside)
        assert (one["attempts"], one["n_scored"], served.batches.created) == (0, N, 1)
        inside.edit(providers={"sim": {"base_url": served.url}})  # and single calls, which are timed, aren't
        _, one, _ = run(inside)
    assert served.requests == 2 * N and one["latency_s"] is not None


def test_each_model_has_its_own_batch_and_shares_it_between_its_candidates(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served, models=("a", "b"))
        twice = {"name": "a again", "model": "sim/a", "prompt": {"user": "Now: {question}"}}
        inside.edit(candidates=[*json.loads(inside.file.read_text())["candidates"], twice])
        state, _, _ = run(inside)
        report = load_report(open_store(), newest())
    assert (state, served.batches.created) == ("done", 2)
    assert [one.accuracy for one in report.comparison.candidates] == [truth("a", N), truth("b", N), truth("a", N)]


@pytest.mark.parametrize(
    ("faults", "created"),
    [
        ({"twice": 3}, 1),
        ({"malformed": 9}, 1),
        ({"cut_downloads": 1}, 1),
        ({"ends": ["expired"]}, 2),
        ({"drop_creates": 1}, 1),
        ({"refuse_creates": 2}, 1),
    ],
    ids=[
        "answered twice",
        "broken lines between",
        "cut in its download",
        "expired",
        "dropped after its creation",
        "429 before its creation",
    ],
)
def test_what_is_missed_is_asked_again_and_what_was_made_is_not(
    inside: Project, faults: dict[str, Any], created: int
) -> None:
    with fault_server() as served:
        for name, value in faults.items():
            setattr(served.batches.faults, name, value)
        write(inside, served)
        state, one, cause = run(inside)
    assert (state, served.batches.created, one["attempts_cost_unknown"]) == ("done", created, 0), cause
    right(inside, one, served)


def test_a_provider_that_is_down_for_a_while_is_asked_again_for_what_it_was_paid_for(
    inside: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "TRIES", 2)
    monkeypatch.setattr(in_batches, "LONGEST_LOOK_S", 0.5)
    with fault_server() as served:
        served.batches.faults.failing_looks = 6
        write(inside, served)
        with ThreadPoolExecutor() as thread:
            running = thread.submit(run, inside)
            until(lambda: served.batches.created)  # the store is there by now
            until(lambda: column(inside, "SELECT state FROM batches") == ["unreachable"])
            state, one, cause = running.result(120)
    assert (state, served.batches.created) == ("done", 1), cause
    right(inside, one, served)


def test_a_queue_that_is_full_is_waited_for_or_asked_in_smaller_batches(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.queue, served.batches.faults.takes_s = 15, 0.4
        write(inside, served)
        state, one, cause = run(inside)
    assert state == "done", cause
    right(inside, one, served)
    made = [len(one["lines"]) for one in served.batches.by_id.values() if one["status"] == "completed"]
    assert made == [10, 10, 10, 10]


def test_a_queue_with_no_room_for_one_request_stops_the_model(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served, n=3)
        hog = served.batches.by_id["of-another"] = {
            "status": "in_progress",
            "begun": time.monotonic(),
            "end": "expired",
        }
        hog |= {"lines": [{}], "request_counts": {}}
        served.batches.faults.queue, served.batches.faults.takes_s = 1, 3600
        state, _, cause = run(inside)
    assert state == "failed" and "too many tokens are waiting" in cause
    assert [len(one["lines"]) for one in served.batches.by_id.values()][1:] == [3, 1]


def test_answers_whose_file_is_gone_are_of_unknown_cost_and_asked_again_by_who_goes_on(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.gone_files = True
        write(inside, served)
        state, one, cause = run(inside)
        assert (state, one["attempts_cost_unknown"]) == ("failed", N) and "No such File object" in cause
        served.batches.faults.gone_files = False
        state, one, _ = run(inside, newest())
    assert (state, one["n_scored"], one["attempts_cost_unknown"], served.batches.created) == ("done", N, N, 2)


def test_a_line_that_is_missing_is_of_unknown_cost_and_asked_for_in_three_batches(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.missing = 10  # the first line of every batch, and every tenth
        write(inside, served)
        state, one, _ = run(inside)
    assert (state, served.batches.created) == ("done", 3)
    assert (one["n_scored"], one["n_failed"], one["attempts_cost_unknown"]) == (N - 1, 1, 4 + 1 + 1)
    assert served.requests == one["attempts"] == N + 4 + 1


@pytest.mark.parametrize(("limit", "value", "sizes"), [("REQUESTS", 15, [15, 15, 10]), ("BYTES", 5000, None)])
def test_what_is_too_large_for_one_batch_is_split(
    inside: Project, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, sizes: list[int] | None
) -> None:
    monkeypatch.setattr(batch_requests, f"MOST_{limit}", value)
    with fault_server() as served:
        write(inside, served)
        state, one, _ = run(inside)
        assert state == "done"
        right(inside, one, served)
    made = [len(one["lines"]) for one in served.batches.by_id.values()]
    assert sum(made) == N and len(made) > 1
    assert sizes is None or made == sizes
    assert limit == "REQUESTS" or all(one["bytes"] <= value for one in served.batches.by_id.values())


def test_lines_that_are_errors_fail_their_rows_and_cost_nothing(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.refused = 10
        write(inside, served)
        state, one, _ = run(inside)
    assert (state, one["n_failed"], one["n_scored"], one["attempts_cost_unknown"]) == ("done", 4, 36, 0)
    assert one["cost_usd"] == pytest.approx(36 * HALF, abs=1e-12)


@pytest.mark.parametrize(
    ("end", "said", "scored"),
    [("failed", "failed: no batches of this model", 0), ("cancelled", "was cancelled at its provider", N // 2)],
)
def test_a_batch_that_ends_at_its_provider_stops_its_model_and_a_resume_goes_on(
    inside: Project, end: str, said: str, scored: int
) -> None:
    with fault_server() as served:
        served.batches.faults.ends = [end]
        write(inside, served)
        state, one, cause = run(inside)
        assert state != "done" and one["n_scored"] == scored and said in cause
        state, one, _ = run(inside, newest())
        assert state == "done"
        right(inside, one, served)


def test_a_provider_that_repeats_the_key_puts_it_nowhere(
    inside: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SIM_KEY", "sk-a-secret-of-some-length")
    with fault_server() as served:
        served.batches.faults.ends, served.batches.faults.repeats_key = ["failed"], True
        write(inside, served)
        inside.edit(providers={"sim": {"base_url": served.url, "batch": True, "api_key_env": "SIM_KEY"}})
        state, one, cause = run(inside)
    assert state == "failed" and "failed: Bearer [key] may not: no batches of this model" in cause
    assert any("sk-a-secret-of-some-length" in one["key"] for one in served.batches.by_id.values())
    kept = [file.read_bytes() for file in (inside.folder / "home").rglob("*") if file.is_file()]
    assert kept and not any(b"sk-a-secret" in content for content in kept)
    assert "sk-a-secret" not in json.dumps(one) + caplog.text


def test_a_wrong_key_stops_the_provider_before_anything_is_made_and_no_other_key_is_sent(
    inside: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another")
    with fault_server() as served:
        served.batches.faults.unauthorized = True
        write(inside, served)
        state, _, cause = run(inside)
        assert (state, served.batches.created) == ("failed", 0)
        assert "sim: stopped after HTTP 401: wrong key" in cause
        assert served.batches.headers and "another" not in str(served.batches.headers)
        served.batches.faults.unauthorized = False
        state, one, _ = run(inside, newest())
        assert state == "done"
        right(inside, one, served)


def test_a_limit_holds_and_what_has_no_room_waits_for_the_batch_before_it(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served, max_cost_usd=round(20 * RESERVE, 9))
        state, one, cause = run(inside)
    assert state == "done", cause
    right(inside, one, served)
    assert served.batches.created == 3
    assert len(served.batches.by_id["batch_0"]["lines"]) <= 20


def billed_usd(served: Served) -> float:
    """What the provider bills: the answers that it computed, at half the price in a batch."""
    in_batches: int = sum(one["request_counts"]["completed"] for one in served.batches.by_id.values())
    return HALF * (in_batches + 2 * (served.billed.total() - in_batches))


def test_two_models_wait_for_each_others_reserve(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.takes_s = 0.4
        write(inside, served, models=("a", "b"), max_cost_usd=round(N * RESERVE, 9))
        state, _, cause = run(inside)
        spent = billed_usd(served)
        report = load_report(open_store(), newest())
    assert state == "done", cause
    assert [one.accuracy for one in report.comparison.candidates] == [truth("a", N), truth("b", N)]
    sizes = [len(one["lines"]) for one in served.batches.by_id.values()]
    assert sum(sizes) == served.requests == 2 * N and max(sizes) >= N - 1
    assert spent == pytest.approx(2 * N * HALF) and spent <= N * RESERVE


@pytest.mark.parametrize("first", ["batch", "calls"])
def test_single_calls_and_batches_wait_for_each_others_reserve(
    inside: Project, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """The limit holds a batch of sixteen, or the eight calls in flight: who comes second finds no room."""
    part, name = (OnServers, "_answer_all") if first == "batch" else (batch_requests.Requests, "fill")
    begin = getattr(part, name)

    async def later(*given: Any) -> Any:
        while not (served.batches.created or served.requests >= 8):
            await asyncio.sleep(0.01)
        return await begin(*given)

    monkeypatch.setattr(part, name, later)
    with fault_server(latency_s=0.2) as served:
        served.batches.faults.takes_s = 0.4
        write(inside, served, models=("a", "b"), max_cost_usd=round(16 * RESERVE, 9))
        keys = json.loads(inside.file.read_text())
        keys["providers"]["alone"] = {"base_url": served.url}
        keys["candidates"][1]["model"] = "alone/b"
        inside.edit(**keys | {"prices": {"sim/a": PRICE, "alone/b": PRICE}})
        state, _, cause = run(inside)
        spent = billed_usd(served)
        report = load_report(open_store(), newest())
    assert state == "done", cause
    assert [one.accuracy for one in report.comparison.candidates] == [truth("a", N), truth("b", N)]
    assert served.requests == 2 * N and spent == pytest.approx(3 * N * HALF) and spent <= 16 * RESERVE
    assert open_store().run(newest()).reserved_usd == 0


def test_a_limit_with_no_room_for_one_call_makes_no_batch(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served, max_cost_usd=0.00001)
        state, _, cause = run(inside)
    assert (state, served.batches.created) == ("failed", 0)
    assert "leaves no room" in cause


def test_a_stream_in_a_batch_is_refused_before_any_call(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served)
        streamed = {"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "sampling": {"stream": True}}
        inside.edit(candidates=[streamed])
        with pytest.raises(UserError, match="a batch can't stream"):
            run(inside)
    assert served.batches.created == 0


def test_a_schema_and_repeats_go_into_a_batch_and_what_the_cache_has_does_not(inside: Project) -> None:
    with fault_server() as served:
        write(inside, served, repeats=2)
        schema = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"]}
        structured = {"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "output_schema": schema}
        inside.edit(candidates=[structured])
        state, one, _ = run(inside)
        assert (state, one["n_scored"], served.batches.created, served.requests) == ("done", 2 * N, 1, 2 * N)
        assert {asked["json_schema"]["name"] for asked in served.formats} == {"answer"}
        assert (one["valid_output"]["value"], one["valid_output"]["modes"]) == (1.0, {"native": 2 * N})
        inside.edit(run={"concurrency": 8, "max_cost_usd": 5, "repeats": 3})
        state, one, _ = run(inside)
        assert (state, one["n_scored"], one["attempts"]) == ("done", 3 * N, N)
        assert {line["custom_id"].split("-")[2] for line in served.batches.by_id["batch_1"]["lines"]} == {"2"}
        assert one["valid_output"]["modes"] == {"native": 3 * N}


@pytest.mark.parametrize("mode", ["ignore", "refuse"])
def test_without_a_json_mode_the_next_batch_has_the_schema_in_its_prompts(inside: Project, mode: str) -> None:
    with fault_server() as served:
        served.faults.json_mode, served.faults.json_share = mode, 0.6
        served.batches.faults.refuse_schema = mode == "refuse"
        write(inside, served)
        schema = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"]}
        structured = {"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "output_schema": schema}
        inside.edit(candidates=[structured])
        state, one, _ = run(inside)
        valid = one["valid_output"]
        held = 0 if mode == "refuse" else N - served.prompted  # what the first batch answered well is kept
        assert (state, one["n_scored"], one["n_failed"], served.batches.created) == ("done", N, 0, 2)
        assert 0 < served.prompted == N - held <= N
        assert valid["modes"] == {way: n for way, n in (("prompted", N - held), ("native", held)) if n}
        assert 0.3 < valid["value"] < 1 or held
        assert one["cost_usd"] == pytest.approx(served.billed["m"] * HALF, abs=1e-12)
        assert one["attempts_cost_unknown"] == 0
        billed = served.billed["m"]
        state, again, _ = run(inside)
        assert (state, again["attempts"], served.billed["m"]) == ("done", 0, billed)
        assert again["valid_output"] == valid


def test_an_end_in_the_middle_of_reading_writes_each_answer_once(
    inside: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_outcomes, "WINDOW", 10)
    chunks: list[int] = []

    def broken(*given: Any) -> Any:
        chunks.append(1)
        if len(chunks) == 3:
            raise RunStopped("the third chunk")
        return keyed(*given)

    with fault_server() as served:
        write(inside, served)
        monkeypatch.setattr(batch_outcomes, "keyed", broken)
        state, one, _ = run(inside)
        assert (state, one["n_scored"]) == ("partial", 20)
        state, one, _ = run(inside, newest())
        assert (state, served.batches.created, one["attempts"]) == ("done", 1, N)
        right(inside, one, served)


def test_a_kill_while_its_batch_is_created_bills_no_example_twice(project: Project, inside: Project) -> None:
    with fault_server() as served:
        faults, batches = served.batches.faults, served.batches
        faults.takes_s = 1.0
        faults.hold_create_s = 30.0
        write(project, served)
        process = project.start("run", str(project.file))
        until(lambda: batches.created)
        process.kill()
        process.communicate()
        assert open_store().runs()[0].state == "interrupted"
        faults.hold_create_s = 0.0
        state, one, cause = run(inside, newest())
        assert (state, batches.created, one["attempts"]) == ("done", 1, N), cause
        right(project, one, served)


def test_a_batch_outlives_the_worker_that_sent_it_and_is_read_by_the_next(project: Project, inside: Project) -> None:
    with fault_server() as served:
        write(project, served)
        served.batches.faults.takes_s = 3600
        store, spec = open_store(), load(project.file)
        plan = make_plan(spec, read_sources(spec, project.folder))
        run_id = new_run(store, plan, project.folder, {}, request_key="pressed")
        worker = project.start("worker")
        until(lambda: served.batches.asked)
        worker.kill()
        worker.communicate()
        assert store.run(run_id).state == "interrupted"
        served.batches.faults.takes_s = 0.0  # a day later
        worker = project.start("worker")
        until(lambda: store.run(run_id).state == "done")
        worker.kill()
        worker.communicate()
        (one,) = json.loads(to_json(load_report(store, run_id)))["candidates"]
        assert (served.batches.created, one["attempts"]) == (1, N)
        right(project, one, served)


def test_a_paused_run_makes_no_batch_and_reads_what_is_under_way(inside: Project) -> None:
    with fault_server() as served:
        served.batches.faults.takes_s = 4.0  # by then the pause is heeded: it is asked for with each beat
        write(inside, served, max_cost_usd=round(20 * RESERVE, 9))
        with ThreadPoolExecutor() as thread:
            running = thread.submit(run, inside)
            until(lambda: served.batches.created)
            open_store().pause(newest(), paused=True)
            until(lambda: column(inside, "SELECT settled FROM batches") == [1])
            time.sleep(1.0)  # it would have made the next one by now
            assert served.batches.created == 1 and open_store().run(newest()).state == "running"
            assert len(column(inside, "SELECT arm FROM results")) == len(served.batches.by_id["batch_0"]["lines"])
            open_store().pause(newest(), paused=False)
            state, one, _ = running.result(60)
    assert state == "done"
    right(inside, one, served)


def test_what_a_cancelled_batch_still_answers_is_billed_and_read_by_who_goes_on(
    inside: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_batches, "CANCEL_WAIT_S", 0.5)
    with fault_server() as served:
        served.batches.faults.takes_s, served.batches.faults.cancel_takes_s = 3600, 2.0
        write(inside, served)
        with ThreadPoolExecutor() as thread:
            running = thread.submit(run, inside)
            until(lambda: served.batches.asked)
            open_store().cancel(newest())
            state, one, _ = running.result(60)
        assert (state, one["n_scored"], served.batches.cancelled) == ("cancelled", 0, ["batch_0"])
        (batch,) = run_progress(open_store(), newest()).batches
        assert batch.is_open and open_store().run(newest()).reserved_usd > 0
        until(lambda: served.batches.by_id["batch_0"]["begun"] + 2.0 < time.monotonic())
        served.batches.faults.takes_s = 0.1
        state, one, _ = run(inside, newest())
    assert (state, served.batches.created) == ("done", 2)
    right(inside, one, served)


def test_a_kill_between_the_file_and_its_batch_sends_nothing_twice(project: Project, inside: Project) -> None:
    with fault_server() as served:
        write(project, served)
        served.batches.faults.refuse_creates = 1_000_000
        process = project.start("run", str(project.file))
        until(lambda: served.batches.faults.refuse_creates < 1_000_000)
        process.kill()
        process.communicate()
        served.batches.faults.refuse_creates = 0
        state, one, _ = run(inside, newest())
        assert (state, one["attempts"]) == ("done", N)  # the first intents never left
        right(project, one, served)
    assert sorted(column(project, "SELECT state FROM attempts")) == ["answered"] * N + ["unsent"] * N


def test_where_a_provider_lists_no_batches_what_it_did_is_unknown_and_said(project: Project, inside: Project) -> None:
    with fault_server() as served:
        write(project, served)
        served.batches.faults.no_listing = True
        served.batches.faults.hold_create_s = 30.0
        process = project.start("run", str(project.file))
        until(lambda: served.batches.created)
        process.kill()
        process.communicate()
        served.batches.faults.hold_create_s = 0.0
        state, one, cause = run(inside, newest())
        assert state == "failed" and "can't be known" in cause and one["attempts_cost_unknown"] == N
        state, one, _ = run(inside, newest())  # who goes on has been told
    assert (state, one["n_scored"], one["attempts_cost_unknown"]) == ("done", N, N)


def test_an_interrupt_cancels_the_batch_keeps_what_came_and_a_resume_asks_for_the_rest(
    project: Project, inside: Project
) -> None:
    with fault_server() as served:
        served.batches.faults.takes_s = 3600
        write(project, served)
        process = project.start("run", str(project.file))
        until(lambda: served.batches.asked)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, open_store().runs()[0].state) == (2, "cancelled")
        assert "half price" in error and "Traceback" not in error
        assert served.batches.cancelled == ["batch_0"]
        assert len(project.finished()) == N // 2
        served.batches.faults.takes_s = 0.1
        state, one, _ = run(inside, newest())
        assert state == "done"
        right(project, one, served)
