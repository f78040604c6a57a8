"""Runs asked for by a page: started once, watched, cancelled, and taken up again after a kill."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftvp_core.drafts import change, draft_keys, keep_upload, new_draft
from ftvp_core.jobs.enqueue import enqueue, plan_draft
from ftvp_core.jobs.progress import run_progress
from ftvp_core.report.load import load_report
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store
from tests.fault_server import Served, fault_server, is_right

ROWS = 120
IN_FLIGHT = 4


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    return open_store()


@pytest.fixture
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.05) as served:
        yield served


@pytest.fixture
def worker() -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts worker processes; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-m", "ftvp_core", "worker"], stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def a_draft(store: Store, server: Served) -> str:
    """A draft of one zero-shot candidate on ROWS rows; a third of the references is `no`."""
    rows = "".join(f"question {at},{'no' if at % 3 == 0 else 'yes'}\n" for at in range(ROWS))
    path = keep_upload("eval.csv", f"question,answer\n{rows}".encode())
    draft_id = new_draft(store)
    change(
        store,
        draft_id,
        eval_set={"path": str(path)},
        providers={"slow": {"base_url": server.url}},
        candidates=[{"name": "zero", "model": "slow/one"}],
        run={"concurrency": IN_FLIGHT},
    )
    return draft_id


def start(store: Store, draft_id: str) -> str:
    return enqueue(store, draft_id, plan_draft(draft_keys(store, draft_id)))


def until(condition: Callable[[], bool], within_s: float = 80) -> None:
    limit = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < limit, "it didn't come about in time"
        time.sleep(0.05)


def test_a_worker_carries_out_what_a_page_asked_for(store: Store, server: Served, worker: Callable[[], object]) -> None:
    run_id = start(store, a_draft(store, server))
    assert store.run(run_id).state == "queued"
    worker()
    until(lambda: store.run(run_id).state == "done")
    (zero,) = load_report(store, run_id).comparison.candidates
    assert (zero.n_scored, zero.attempts, len(server.asked)) == (ROWS, ROWS, ROWS)
    assert zero.accuracy == pytest.approx(2 / 3 if is_right("one", 0) else 1 / 3)


def test_a_double_click_starts_one_run_and_a_later_one_another(
    store: Store, server: Served, worker: Callable[[], object]
) -> None:
    draft_id = a_draft(store, server)
    plan = plan_draft(draft_keys(store, draft_id))
    first, second = enqueue(store, draft_id, plan), enqueue(store, draft_id, plan)
    assert first == second
    worker()
    until(lambda: store.run(first).state == "done")
    assert start(store, draft_id) != first


def test_a_killed_worker_leaves_its_run_interrupted_and_the_next_repeats_nothing_finished(
    store: Store, server: Served, worker: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    run_id = start(store, a_draft(store, server))
    first = worker()
    until(lambda: len(store.finished(run_id)) > 20)
    first.kill()
    first.wait()
    assert store.run(run_id).state == "interrupted"
    finished = {server.asked.count(f"question {example}") for _, example, _ in store.finished(run_id)}
    worker()
    until(lambda: store.run(run_id).state == "done")
    assert finished == {1}
    assert ROWS <= len(server.asked) <= ROWS + IN_FLIGHT
    (zero,) = load_report(store, run_id).comparison.candidates
    assert zero.n_scored == ROWS
    assert zero.attempts >= len(server.asked)


def test_cancel_stops_new_calls_within_a_second_and_keeps_what_is_finished(
    store: Store, server: Served, worker: Callable[[], object]
) -> None:
    run_id = start(store, a_draft(store, server))
    worker()
    until(lambda: len(store.finished(run_id)) > 10)
    store.cancel(run_id)
    time.sleep(1.0)
    asked = len(server.asked)
    time.sleep(0.5)
    assert len(server.asked) == asked < ROWS
    until(lambda: store.run(run_id).state == "cancelled")
    finished = len(store.finished(run_id))
    assert finished > 10
    store.requeue(run_id, enqueued=True)
    until(lambda: store.run(run_id).state == "done")
    assert len(store.finished(run_id)) == ROWS


def test_pause_sends_nothing_and_loses_nothing_until_it_is_taken_back(
    store: Store, server: Served, worker: Callable[[], object]
) -> None:
    run_id = start(store, a_draft(store, server))
    worker()
    until(lambda: len(store.finished(run_id)) > 10)
    store.pause(run_id, paused=True)
    time.sleep(1.0)
    asked = len(server.asked)
    time.sleep(0.7)
    now = run_progress(store, run_id)
    assert (now.state, now.phase, now.paused, now.rate_per_s) == ("running", "paused", True, None)
    assert len(server.asked) == asked == now.arms[0].done < ROWS  # all that was answered is committed
    store.pause(run_id, paused=False)
    until(lambda: run_progress(store, run_id).rate_per_s is not None)
    until(lambda: store.run(run_id).state == "done")
    assert len(server.asked) == ROWS


def test_a_paused_run_whose_worker_is_killed_stays_paused_with_the_next_and_can_be_cancelled(
    store: Store, server: Served, worker: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    run_id = start(store, a_draft(store, server))
    first = worker()
    until(lambda: len(store.finished(run_id)) > 10)
    store.pause(run_id, paused=True)
    time.sleep(1.0)
    first.kill()
    first.wait()
    assert store.run(run_id).state == "interrupted"
    asked = len(server.asked)
    worker()
    until(lambda: run_progress(store, run_id).phase == "paused")
    time.sleep(0.7)
    assert len(server.asked) == asked
    store.cancel(run_id)
    until(lambda: store.run(run_id).state == "cancelled")
    store.requeue(run_id, enqueued=True)
    until(lambda: store.run(run_id).state == "done")
    assert len(server.asked) == ROWS


def test_a_run_that_nobody_took_is_cancelled_at_once(store: Store, server: Served) -> None:
    run_id = start(store, a_draft(store, server))
    store.cancel(run_id)
    assert store.run(run_id).state == "cancelled"
    assert store.next_job() is None


def test_progress_says_how_far_how_fast_and_how_long_still(
    store: Store, server: Served, worker: Callable[[], object]
) -> None:
    run_id = start(store, a_draft(store, server))
    assert run_progress(store, run_id).phase == "waiting for a worker"
    worker()
    until(lambda: run_progress(store, run_id).rate_per_s is not None)
    now = run_progress(store, run_id)
    assert 0 < now.done <= now.total == ROWS
    assert now.left_s is not None
    assert now.rate_per_s is not None and now.rate_per_s <= 1.2 * IN_FLIGHT / 0.05
    until(lambda: run_progress(store, run_id).state == "done")
    (zero,) = run_progress(store, run_id).arms
    assert (zero.name, zero.done, zero.failed, zero.total) == ("zero", ROWS, 0, ROWS)
    assert (zero.attempts, zero.retries, zero.from_cache, zero.rate_per_s) == (ROWS, 0, 0, None)


def test_progress_counts_each_candidates_retries_failures_and_cached_answers(
    store: Store, worker: Callable[[], object]
) -> None:
    with fault_server(f500=0.15) as served:
        draft_id = a_draft(store, served)
        first = start(store, draft_id)
        worker()
        until(lambda: store.run(first).state == "done")
        (zero,) = run_progress(store, first).arms
        change(store, draft_id, candidates=[{"name": name, "model": f"slow/{name}"} for name in ("one", "two")])
        second = start(store, draft_id)
        until(lambda: store.run(second).state == "done")
    assert zero.attempts == ROWS + zero.retries and zero.retries > 0
    assert zero.failures == [("HTTP 500: our fault", zero.retries)]
    one, two = run_progress(store, second).arms
    assert (one.done, one.from_cache, one.attempts, list(one.failures)) == (ROWS, ROWS, 0, [])
    assert (two.done, two.from_cache, two.attempts) == (ROWS, 0, ROWS + two.retries)


def test_a_run_says_whom_it_goes_on_without(store: Store, server: Served, worker: Callable[[], object]) -> None:
    with fault_server(f429_day=1.0) as away:
        draft_id = a_draft(store, server)
        change(
            store,
            draft_id,
            providers={"slow": {"base_url": server.url}, "away": {"base_url": away.url}},
            candidates=[{"name": "zero", "model": "slow/one"}, {"name": "parked", "model": "away/one"}],
        )
        run_id = start(store, draft_id)
        worker()
        until(lambda: bool(run_progress(store, run_id).stopped))
        (said,) = run_progress(store, run_id).stopped
        assert said.startswith("away: parked: asks to wait 86,400 s")
        until(lambda: store.run(run_id).state == "partial")
