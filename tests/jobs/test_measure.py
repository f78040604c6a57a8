"""What a training would take: asked for by a page, measured by a worker's dry run, and nothing is left of it."""

import platform
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from ftvp_core.drafts import keep_upload, new_draft
from ftvp_core.jobs.enqueue import plan_draft
from ftvp_core.jobs.measure import ask_all, expected, measure_next
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan
from ftvp_core.spec import dump, parse
from ftvp_core.store.measurements import take, withdraw
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store
from tests.jobs.test_worker import until
from tests.tiny_model import make_model


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_in_turn: None) -> Store:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    return open_store()


def plan_of(store: Store, folder: Path, *, with_student: bool = False, **tune: object) -> Plan:
    def rows(name: str) -> str:
        text = "".join(f"the {name} row of number {n},answer {n % 3}\n" for n in range(40))
        return str(keep_upload(f"{name}.csv", f"question,answer\n{text}".encode()))

    keys: dict[str, Any] = {
        "eval_set": {"path": rows("eval")},
        "train_set": {"path": rows("train")},
        "prices": {"machine_hour": 3600},
        "candidates": [{"name": "lora", "model": f"local/{folder}/tiny", "tune": {"validation": 0.25, **tune}}],
    }
    if with_student:
        student = {"name": "student", "model": f"local/{folder}/tiny", "tune": {"teacher": "lora"}}
        keys = {**keys, "candidates": [*keys["candidates"], student], "forgetting_set": keys["eval_set"]}
    new_draft(store, keys)
    return plan_draft(keys)


def test_a_dry_run_says_time_memory_rows_and_cost(store: Store, tmp_path: Path) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path)
    assert not measure_next(store)
    ask_all(store, plan)
    assert expected(store, plan)[0].is_asked
    assert measure_next(store)
    [found] = expected(store, plan)
    assert found.seconds is not None and 0 < found.seconds < 120
    assert found.cost_usd is not None and float(found.cost_usd) == pytest.approx(found.seconds)  # a dollar a second
    assert found.memory_bytes is not None and 100e6 < found.memory_bytes < 8e9
    assert (found.device, found.is_asked, found.error) == ("cpu", False, None)
    assert found.rows is not None and found.validation_rows is not None
    assert found.rows + found.validation_rows == 40 and found.validation_rows > 0
    assert not [path for path in (tmp_path / "home" / "adapters").iterdir() if not path.name.startswith(".")]
    # Another learning rate is another training; the same one is asked for once.
    assert expected(store, plan_of(store, tmp_path, learning_rate=1e-3))[0].seconds is None
    ask_all(store, plan)
    assert not measure_next(store)


def test_what_can_t_be_measured_says_why_and_can_be_asked_again(store: Store, tmp_path: Path) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path)
    ask_all(store, plan)
    for file in (tmp_path / "tiny").iterdir():
        file.unlink()
    assert measure_next(store)
    [failed] = expected(store, plan)
    assert failed.error is not None and "has no config.json" in failed.error and "\n" not in failed.error
    ask_all(store, plan)
    assert expected(store, plan)[0].is_asked
    withdraw(store, failed.key)
    assert not measure_next(store)


def test_a_defect_ends_its_measurement_and_not_the_worker(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path)
    ask_all(store, plan)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr("ftvp_core.jobs.measure.open_lookup", broken)
    assert measure_next(store)
    [failed] = expected(store, plan)
    assert failed.error == "unexpected ZeroDivisionError: by nothing"
    assert "in broken" in caplog.text, "all of it is logged"
    assert not measure_next(store), "the next worker doesn't take it up again"


@pytest.mark.parametrize("ends", ["the other training", "nobody asks any more"])
def test_a_measurement_waits_for_another_training_and_says_so(store: Store, tmp_path: Path, ends: str) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path)
    ask_all(store, plan)
    adapters = tmp_path / "home" / "adapters"
    adapters.mkdir()
    other = FileLock(adapters / f".{platform.node()}.training.lock")
    other.acquire()
    worker = threading.Thread(target=measure_next, args=(store,))
    worker.start()
    until(lambda: expected(store, plan)[0].waits)
    assert expected(store, plan)[0].is_under_way
    if ends == "the other training":
        other.release()
    else:
        withdraw(store, expected(store, plan)[0].key)
    worker.join()
    [found] = expected(store, plan)
    assert (found.seconds is not None, found.waits) == (ends == "the other training", False)


def test_what_a_run_says_of_its_servers_doesnt_matter_to_a_training(store: Store, tmp_path: Path) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path)
    served = {"name": "s", "model": "openai/m"}
    keys = yaml.safe_load(dump(plan.spec))
    keys["candidates"].append(served)
    with pytest.MonkeyPatch.context() as set_:
        set_.setenv("OPENAI_API_KEY", "k")
        loaded = plan_draft({**keys, "run": {"load": {}, "repeats": 2}})
    assert expected(store, loaded)[0].key == expected(store, plan)[0].key
    ask_all(store, loaded)
    asked = take(store)
    assert asked is not None
    alone = make_plan(parse(asked.asked["spec"], "asked"), loaded.sources)  # as its worker does
    assert [arm.candidate.model for arm in alone.arms] == [f"local/{tmp_path}/tiny"]


def test_a_student_is_measured_when_its_teacher_has_answered(store: Store, tmp_path: Path) -> None:
    make_model(tmp_path / "tiny")
    plan = plan_of(store, tmp_path, with_student=True)
    teacher, student = expected(store, plan)
    assert (teacher.name, teacher.is_later, student.name, student.is_later) == ("lora", False, "student", True)
    ask_all(store, plan)
    assert [one.is_asked for one in expected(store, plan)] == [True, False], "and what is asked beside isn't trained"
    assert measure_next(store) and not measure_next(store)
    assert expected(store, plan)[0].seconds is not None, expected(store, plan)[0].error
