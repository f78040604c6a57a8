"""A teacher whose provider takes batches: its labels come in one, at half the price, and a kill bills none twice."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ftvp_core.jobs.execute import execute
from ftvp_core.report.load import load_report
from ftvp_core.report.write import to_json
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.runs.stored import new_run
from ftvp_core.spec import load
from ftvp_core.store.opening import open_store
from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, fault_server, is_right
from tests.faults.conftest import PRICE, Project, truth
from tests.jobs.test_distillation import page
from tests.tiny_model import make_model

ROWS, N = 30, 6
HALF = (TOKENS_IN * PRICE["input"] + TOKENS_OUT * PRICE["output"]) / 1e6 / 2
RIGHT = sum(is_right("m", 500 + at) for at in range(ROWS))


@pytest.fixture
def taught(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A tiny student, and the rows that its teacher labels; a run that goes on does so in this process."""
    monkeypatch.setenv("FTVP_HOME", project.environment["FTVP_HOME"])
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    make_model(project.folder / "tiny")
    rows = [{"id": f"t{at}", "question": f"[ex-{500 + at}] right?", "answer": "yes"} for at in range(ROWS)]
    (project.folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return project


def write(project: Project, served: Served, **keys: Any) -> None:
    project.write(served, n=N)
    prompt = {"user": "{question}"}
    tune = {"teacher": "m", "epochs": 1, "batch_size": 16, "max_length": 64}
    student = {"name": "s", "model": "local/tiny", "prompt": prompt, "sampling": {"max_tokens": 2}, "tune": tune}
    project.edit(
        providers={"sim": {"base_url": served.url, "batch": True}},
        train_set={"path": "train.jsonl"},
        candidates=[{"name": "m", "model": "sim/m", "prompt": prompt}, student],
        **keys,
    )


def killed_when(project: Project, true: Callable[[], object]) -> None:
    process = project.start("run", str(project.file))
    limit = time.monotonic() + 150
    while not true():
        assert time.monotonic() < limit and process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()


def run(project: Project, run_id: str | None = None) -> tuple[str, dict[str, Any], str]:
    """A new run, or one that goes on, in this process: its state, its report, why it ended."""
    store, spec = open_store(), load(project.file)
    if run_id is None:
        run_id = new_run(store, make_plan(spec, read_sources(spec, project.folder)), project.folder, {})
    else:
        store.requeue(run_id, enqueued=False)
    ended = execute(store, run_id)
    return ended.state, json.loads(to_json(load_report(store, run_id))), ended.cause or ""


def test_labels_come_in_a_batch_at_half_the_price_and_a_kill_bills_none_twice(taught: Project) -> None:
    with fault_server() as served:
        write(taught, served)
        served.batches.faults.takes_s = 1.0
        killed_when(taught, lambda: served.batches.asked)
        assert served.batches.created == 1
        state, report, cause = run(taught, open_store().runs()[0].id)
    assert state == "done", cause
    labels, own = served.batches.by_id.values()
    assert (len(labels["lines"]), len(own["lines"]), served.requests) == (ROWS, N, ROWS + N)
    teacher, student = report["candidates"]
    (one,) = report["distillations"]
    assert (one["kept"], one["dropped"]) == (RIGHT, {"wrong": ROWS - RIGHT})
    assert (one["labels"]["attempts"], one["labels"]["cost_unknown"]) == (ROWS, 0)
    assert one["labels"]["cost_usd"] == pytest.approx(ROWS * HALF)
    assert (student["n_scored"], student["other_attempts"]) == (N, ROWS)
    assert (teacher["accuracy"], teacher["other_attempts"], teacher["latency_s"]) == (truth("m", N), 0, None)
    assert student["training_cost_usd"] is None, "no machine_hour is given"
    (beside,) = [
        frame.value
        for frame in page("4_Compare", report["run_id"]).dataframe
        if "student after" in list(frame.value.iloc[:, 0])
    ]
    assert beside["p50"].iloc[0] == "not measured (batch)"


def test_while_a_teacher_labels_its_own_answers_are_left_in_their_batch(taught: Project) -> None:
    """Of a student that could not be taught, the labels are looked at again by who goes on: there are none to ask."""
    with fault_server() as served:
        served.batches.faults.locked = "batch_1"
        write(taught, served, graders=[{"regex": "never"}])
        state, report, cause = run(taught)
        assert state == "partial" and "this key was taken away" in cause
        assert (served.batches.created, report["candidates"][0]["n_scored"]) == (2, 0)
        served.batches.faults.locked = ""
        state, report, cause = run(taught, report["run_id"])
    assert state == "partial" and cause.startswith("candidate s.tune: found 0 answers of m to learn from")
    assert (report["candidates"][0]["n_scored"], served.requests, served.batches.created) == (N, ROWS + N, 2)
