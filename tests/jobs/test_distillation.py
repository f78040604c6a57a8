"""Distillation: a teacher labels a student's rows through the ledger, a filter chooses, the student learns them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from ftvp_core.jobs.labelling import teachers_first
from ftvp_core.jobs.progress import run_progress
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import Candidate, load
from ftvp_core.store.opening import open_store
from ftvp_core.training.distil import learned
from ftvp_core.types import Example
from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, fault_server, is_right
from tests.pages.conftest import ROOT, said
from tests.tiny_model import make_model

ROWS = 40
PRICE = {"input": 0.15, "output": 0.60}
A_CALL_USD = (TOKENS_IN * PRICE["input"] + TOKENS_OUT * PRICE["output"]) / 1e6
RIGHT = sum(is_right("t", at) for at in range(ROWS))
LOCAL: dict[str, Any] = {"model": "local/tiny", "prompt": {"user": "{text}"}, "sampling": {"max_tokens": 3}}
TUNE: dict[str, Any] = {"teacher": "teacher", "epochs": 1, "max_length": 64, "batch_size": 8, "learning_rate": 1e-3}
#: A comparison's report, as JSON.
Report = dict[str, Any]
Run = Callable[..., tuple[int, Report]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model, training rows `[ex-0]` to `[ex-39]`, whose true answer is yes, and an eval set of others."""
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    make_model(tmp_path / "tiny")
    for name, first, n in (("train", 0, ROWS), ("eval", 100, 12)):
        rows = "".join(f"{name}-{at},[ex-{first + at}] right?,yes\n" for at in range(n))
        (tmp_path / f"{name}.csv").write_text(f"id,text,answer\n{rows}", encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path, trains_in_turn: None) -> Run:
    def run(url: str, *candidates: dict[str, Any], options: tuple[str, ...] = (), **more: Any) -> tuple[int, Report]:
        keys = {
            "eval_set": {"path": "eval.csv"},
            "train_set": {"path": "train.csv"},
            "providers": {"sim": {"base_url": url}},
            "prices": {"sim/t": PRICE, "machine_hour": 0.2},
            "candidates": list(candidates),
            "run": {"concurrency": 8, "max_cost_usd": 5},
        }
        (folder / "c.yaml").write_text(yaml.safe_dump(keys | more), encoding="utf-8")
        status = main(["run", str(folder / "c.yaml"), "--json", str(folder / "r.json"), *options])
        return status, json.loads((folder / "r.json").read_text(encoding="utf-8"))

    return run


@pytest.fixture
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.002, f429=0.1, malformed=0.1) as served:
        yield served


def teacher(**more: Any) -> dict[str, Any]:
    return {"name": "teacher", "model": "sim/t", "prompt": {"user": "{text}"}, **more}


def student(**tune: Any) -> dict[str, Any]:
    return {"name": "student", **LOCAL, "tune": TUNE | tune}


def exported(folder: Path, run_id: str) -> list[list[dict[str, str]]]:
    assert main(["export", run_id, "--distilled", str(folder / "d.jsonl")]) == 0
    lines = (folder / "d.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def test_what_a_teacher_answers_is_in_the_ledger_and_what_the_graders_pass_is_learned(
    folder: Path, run: Run, server: Served
) -> None:
    asked = (student(), {"name": "before", **LOCAL}, teacher(shots={"k": 2}))
    status, report = run(server.url, *asked)
    assert status == 0
    tuned, before, taught = report["candidates"]
    sent = taught["attempts"] + tuned["other_attempts"]
    assert sent == server.requests > ROWS + 12
    assert (tuned["attempts"], before["other_attempts"], taught["other_attempts"]) == (12, 0, 0)
    assert tuned["attempts_cost_unknown"] + taught["attempts_cost_unknown"] > 0

    # A row's own answer is never among its shots, and another one stands in its place.
    rows = {f"[ex-{at}] right?" for at in range(ROWS)}
    for messages in server.messages:
        *shots, question = [one["content"] for one in messages if one["role"] == "user"]
        assert len(shots) == 2 and set(shots) <= rows - {question}

    (one,) = report["distillations"]
    assert (one["student"], one["teacher"], one["before"]) == ("student", "teacher", "before")
    assert (one["rows"], one["kept"], one["dropped"]) == (ROWS, RIGHT, {"wrong": ROWS - RIGHT})
    chats = exported(folder, report["run_id"])
    assert {chat[0]["content"] for chat in chats} == {f"[ex-{at}] right?" for at in range(ROWS) if is_right("t", at)}
    assert all([(turn["role"]) for turn in chat] == ["user", "assistant"] for chat in chats)
    assert {chat[1]["content"] for chat in chats} == {"yes"}

    # A dollar stands once: billed with the labels or with a candidate's own answers; and what making it takes apart.
    store = open_store()
    billed = one["labels"]["cost_usd"] + sum(each["cost_usd"] for each in report["candidates"])
    assert billed == pytest.approx(float(store.run(report["run_id"]).spent_usd))
    assert one["labels"]["attempts"] == tuned["other_attempts"]
    machine = store.tunings(report["run_id"])[0].cost_usd
    assert tuned["training_cost_usd"] == pytest.approx(float(machine) + ROWS * A_CALL_USD)
    labelled = run_progress(store, report["run_id"]).arms[-1]
    assert (labelled.name, labelled.done, labelled.total) == ("teacher labels for student", ROWS, ROWS)
    assert labelled.is_labels and labelled.retries == tuned["other_attempts"] - ROWS

    # Asked again, the cache answers: nothing is sent, the adapter is the same, and making it still takes what it took.
    requests = server.requests
    status, again = run(server.url, *asked)
    assert (status, server.requests) == (0, requests)
    assert again["candidates"][0]["other_attempts"] == 0
    assert again["candidates"][0]["training_cost_usd"] == pytest.approx(tuned["training_cost_usd"])
    adapters = {store.tunings(one["run_id"])[0].adapter for one in (report, again)}
    assert len(adapters) == 1
    pages_show(report["run_id"], RIGHT)


def pages_show(run_id: str, kept: int) -> None:
    """Run, Compare and Decide of the run: the labels' own row, the three side by side, the sentences."""
    run, compare, decide = (page(name, run_id) for name in ("3_Run", "4_Compare", "5_Decide"))
    labels = run.dataframe[0].value.to_dict("records")[-1]
    assert (labels["candidate"], labels["of"], labels["failed"]) == ("teacher labels for student", ROWS, 0)
    learned = f"It learned {kept} of teacher's {ROWS} answers; left out: {ROWS - kept} found wrong by the graders."
    assert learned in said(compare) and learned in said(decide)
    (beside,) = [frame.value for frame in compare.dataframe if "student after" in list(frame.value.iloc[:, 0])]
    assert list(beside["candidate"]) == ["teacher", "before", "student"]
    assert any("what student learned" in button.proto.label for button in compare.get("download_button"))


def page(name: str, run_id: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.switch_page(f"pages/{name}.py")
    at.query_params["run"] = run_id
    at.run()
    assert not at.exception
    return at


def test_answers_that_do_not_agree_are_left_out(run: Run) -> None:
    with fault_server(latency_s=0.002, contrary=0.2) as served:
        warm = teacher(sampling={"temperature": 0.7})
        status, report = run(served.url, student(keep="agreement", answers=2), warm)
    (one,) = report["distillations"]
    assert status == 0
    assert served.requests == 2 * ROWS + 12
    assert one["kept"] + one["dropped"]["disagreed"] == one["rows"] == ROWS
    # Two of two agree with 0.8² + 0.2²: the binomial's 99.9 % interval at 40 rows.
    assert 16 <= one["kept"] <= 37
    assert report["candidates"][0]["other_attempts"] == 2 * ROWS


def test_labels_that_failed_are_not_learned_and_a_retry_leaves_them(folder: Path, run: Run) -> None:
    with fault_server(latency_s=0.002, f400=0.2) as served:
        status, report = run(served.url, student(keep="all"), teacher())
        (one,) = report["distillations"]
        assert (status, one["kept"] + one["dropped"]["failed"]) == (0, ROWS)
        asked = {text: count for (_, text), count in served.attempts.items() if text < ROWS}
        retry = ["run", "--resume", report["run_id"], "--retry-failed", "--json", str(folder / "r.json")]
        assert main(retry) == 0
        again = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    (two,) = again["distillations"]
    assert all(one[key] == two[key] for key in ("rows", "kept", "dropped", "labels"))
    assert {text: count for (_, text), count in served.attempts.items() if text < ROWS} == asked
    labels = run_progress(open_store(), report["run_id"]).arms[-1]
    assert (labels.done, labels.failed) == (ROWS, one["dropped"]["failed"])


def test_rows_need_no_reference(folder: Path, run: Run, server: Served) -> None:
    rows = "".join(f"train-{at},[ex-{at}] right?\n" for at in range(ROWS))
    (folder / "train.csv").write_text(f"id,text\n{rows}", encoding="utf-8")
    status, report = run(server.url, student(), teacher())
    (one,) = report["distillations"]
    assert (status, one["kept"], one["unchecked"]) == (0, ROWS, ROWS)
    said = {chat[0]["content"]: chat[1]["content"] for chat in exported(folder, report["run_id"])}
    assert said == {f"[ex-{at}] right?": "yes" if is_right("t", at) else "no" for at in range(ROWS)}


def test_a_limit_holds_over_labels_and_answers_and_a_higher_one_goes_on(
    folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with fault_server(latency_s=0.002) as served:
        few = teacher(sampling={"max_tokens": 8})
        limit = 30 * A_CALL_USD
        status, report = run(served.url, student(), few, run={"concurrency": 4, "max_cost_usd": limit})
        assert (status, report["state"]) == (2, "partial")
        said = capsys.readouterr().err
        assert "teacher labels for student: the cost limit of" in said
        assert 0 < served.requests * A_CALL_USD <= limit
        assert not open_store().tunings(report["run_id"])
        assert report["candidates"][0]["n_scored"] == 0
        assert report["distillations"][0]["kept"] is None
        resume = ["run", "--resume", report["run_id"], "--max-cost", "1", "--json", str(folder / "r.json")]
        assert main(resume) == 0
        report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    assert sum(one["attempts"] + one["other_attempts"] for one in report["candidates"][1:]) == 12
    assert report["candidates"][0]["other_attempts"] == ROWS
    assert served.requests == ROWS + 12


def test_too_few_answers_are_refused_and_the_run_goes_on_without_the_student(
    run: Run, server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = run(server.url, student(examples=12), teacher(), graders=[{"regex": "never"}])
    assert (status, report["state"]) == (2, "partial")
    out, said = capsys.readouterr()
    assert "student hasn't learned from teacher: its training hasn't ended." in out
    assert "candidate student.tune: found 0 answers of teacher to learn from, expected 10" in said
    assert "keep: graders dropped 12 of 12 (12 wrong)" in said
    assert [one["n_scored"] for one in report["candidates"]] == [0, 12]


def test_a_tuned_teacher_is_tuned_before_its_student(folder: Path, run: Run, server: Served) -> None:
    by_heart = TUNE | {"teacher": None, "epochs": 30, "learning_rate": 5e-3, "dropout": 0}
    lora = {"name": "teacher", **LOCAL, "sampling": {"max_tokens": 6}, "tune": by_heart}
    status, report = run(server.url, student(), lora)
    assert status == 0
    plan = make_plan(*_read(folder))
    assert [plan.arms[at].candidate.name for at in teachers_first(plan)] == ["teacher", "student"]
    (one,) = report["distillations"]
    assert one["kept"] >= 0.9 * ROWS  # what it learned by heart, it answers
    assert server.requests == 0 and report["candidates"][0]["other_attempts"] == ROWS
    assert one["labels"]["cost_usd"] > 0


def test_what_a_teacher_and_its_student_forget_is_asked_beside_the_labels(
    folder: Path, run: Run, server: Served
) -> None:
    (folder / "other.csv").write_text("input,answer\n" + "".join(f"other {n}?,no\n" for n in range(5)), "utf-8")
    whole = TUNE | {"teacher": None, "method": "full", "epochs": 30, "learning_rate": 2e-3}
    ended = {"sampling": {"max_tokens": 6}}
    wholly = {"name": "teacher", **LOCAL, **ended, "tune": whole}
    taught = {"name": "student", **LOCAL, **ended, "tune": TUNE | {"keep": "all", "validation": 0.25}}
    status, report = run(
        server.url, taught, wholly, {"name": "before", **LOCAL, **ended}, forgetting_set={"path": "other.csv"}
    )
    assert status == 0
    store = open_store()
    (row,) = store.runs()
    now = run_progress(store, row.id)
    assert [(arm.name, arm.done, arm.is_labels) for arm in now.arms[3:]] == [
        ("student [forgetting]", 5, False),
        ("teacher [forgetting]", 5, False),
        ("student [forgetting, before]", 5, False),
        ("teacher labels for student", ROWS, True),
    ]
    (one,) = report["distillations"]
    assert (one["before"], one["rows"], one["labels"]["attempts"]) == ("before", ROWS, ROWS)
    assert now.trainings["student"].validation_rows == one["kept"] // 4, "held out of what the teacher answered well"
    assert [(each["candidate"], each["base"], each["forgetting"]["n"]) for each in report["tunes"]] == [
        ("student", "before", 5),
        ("teacher", "before", 5),
    ]


def test_a_student_that_is_not_taught_is_not_asked_what_it_forgot(folder: Path, run: Run, server: Served) -> None:
    (folder / "other.csv").write_text("input,answer\n" + "".join(f"other {n}?,no\n" for n in range(5)), "utf-8")
    none_right = {"graders": [{"regex": "never"}], "forgetting_set": {"path": "other.csv"}}
    status, report = run(server.url, student(examples=12), teacher(), **none_right)
    assert (status, report["state"], report["tunes"][0]["forgetting"]) == (2, "partial", None)
    store = open_store()
    (row,) = store.runs()
    done = {arm.name: arm.done for arm in run_progress(store, row.id).arms}
    assert done == {
        "student": 0, "teacher": 12, "student [forgetting]": 0, "student [forgetting, before]": 5,
        "teacher labels for student": 12,
    }  # fmt: skip


def _read(folder: Path) -> Any:
    spec = load(folder / "c.yaml")
    return spec, read_sources(spec, folder)


def _answered(output: str | None, grade: float | None = 1.0, finish: str = "stop") -> Any:
    return SimpleNamespace(example=0, output=output, grade=grade, finish_reason=finish, request_usd=None)


@pytest.mark.parametrize(
    ("keep", "outputs", "said"),
    [
        ("graders", [_answered(" 예 ")], "예"),
        ("graders", [_answered("أجل", grade=0.0)], "wrong"),
        ("graders", [_answered("yes", grade=None)], "wrong"),
        ("all", [_answered("Grüße", grade=0.0)], "Grüße"),
        ("all", [_answered(None)], "failed"),
        ("all", [], "failed"),
        ("all", [_answered(" \n")], "empty"),
        ("all", [_answered("and so on and", finish="length")], "cut"),
        ("agreement", [_answered("u\u0308ber", 0.0), _answered(" \u00fcber"), _answered("\u00fcber")], "u\u0308ber"),
        ("agreement", [_answered("a"), _answered("a"), _answered("b")], "disagreed"),
        ("agreement", [_answered("a"), _answered("a")], "failed"),
        ("agreement", [_answered("a"), _answered("a"), _answered(None)], "failed"),
    ],
)
def test_what_is_learned_of_a_row(keep: str, outputs: list[Any], said: str) -> None:
    row = Example("r", "question", ("yes",), {})
    others = [Example(f"o{at}", "q", (), {}) for at in range(10)]
    fine = _answered("fine", None)
    results = [*outputs]
    for at, _ in enumerate(others, 1):
        results += [SimpleNamespace(**{**vars(fine), "example": at})] * 3
    one = Candidate.model_validate({"name": "s", "model": "local/m", "tune": {"teacher": "t", "keep": keep}})
    found = learned(one, [row, *others], [row, *others], results)
    assert found.answers.get("r") == (None if said in {"wrong", "failed", "empty", "cut", "disagreed"} else said)
    if "r" not in found.answers:
        assert found.dropped == {said: 1}
    assert found.unchecked == (10 if keep == "graders" else 0)
