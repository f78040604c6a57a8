"""The command line: its formats, its exit statuses, and one line for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EVAL = "id,question,answer\nr1,one,yes\nr2,two,no\n"
FILE = "eval_set: {path: eval.csv}\ncandidates:\n  - {name: old, recorded: old.csv}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    (tmp_path / "eval.csv").write_text(EVAL)
    (tmp_path / "old.csv").write_text("id,output\nr1,yes\nr2,yes\n")
    (tmp_path / "c.yaml").write_text(FILE)
    return tmp_path


def call(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ftvp_core", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_runs_are_listed_newest_first_and_none_is_no_line(folder: Path) -> None:
    assert call("runs").stdout == ""
    for name in ("first", "second one"):
        (folder / "c.yaml").write_text(f"name: {name}\n{FILE}")
        assert call("run", folder / "c.yaml").returncode == 0
    lines = [line.split(" ", 2) for line in call("runs").stdout.splitlines()]
    assert [(state, name) for _, state, name in lines] == [("done", "second one"), ("done", "first")]


def test_a_report_is_verified_against_its_run(folder: Path) -> None:
    report = folder / "report.json"
    assert call("run", folder / "c.yaml", "--json", report).returncode == 0
    assert call("verify", report).returncode == 0
    keys = json.loads(report.read_text())
    keys["candidates"][0]["accuracy"] = 0.9
    keys["decision"]["warnings"] = []
    report.write_text(json.dumps(keys))
    changed = call("verify", report)
    assert changed.returncode == 1
    assert "candidates[0].accuracy: the report has 0.9, the run 0.5" in changed.stdout
    assert "decision.warnings" in changed.stdout and changed.stderr.count("\n") == 1
    keys["run_id"] = "another"
    report.write_text(json.dumps(keys))
    assert "another" in call("verify", report).stderr
    report.write_text("[]")
    assert "is no report" in call("verify", report).stderr
    assert "can't be read" in call("verify", folder / "none.json").stderr


def test_the_doctor_says_what_is_there_and_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTVP_ACCESS_KEY", "a secret word")
    well = call("doctor")
    assert well.returncode == 0 and well.stdout.endswith("nothing is wrong\n")
    for what in ("Python 3.", "packages: all", "store: sqlite", "index: ", "demo model: shipped", " cores", "access: "):
        assert what in well.stdout
    assert "a secret word" not in well.stdout + well.stderr
    monkeypatch.setenv("FTVP_DATABASE_URL", "postgresql+psycopg://somebody:secret@127.0.0.1:1/ftvp")
    monkeypatch.setenv("FTVP_CHROMA_URL", "http://127.0.0.1:1")
    ill = call("doctor")
    assert ill.returncode == 1 and "2 of " in ill.stdout and ill.stdout.count("\nwrong ") == 2
    assert "demo model: shipped" in ill.stdout and "Traceback" not in ill.stderr and "secret" not in ill.stdout


def test_export_writes_what_the_run_wrote(folder: Path) -> None:
    assert call("run", folder / "c.yaml", "--csv", folder / "r.csv").returncode == 0
    run_id = call("runs").stdout.split(" ")[0]
    assert call("export", run_id, "--csv", folder / "again.csv").returncode == 0
    assert (folder / "again.csv").read_text() == (folder / "r.csv").read_text()


def test_check_says_what_it_found_and_exits_0(folder: Path) -> None:
    (folder / "train.csv").write_text("question,answer\nONE,yes\n")
    done = call("check", folder / "eval.csv", "--train", folder / "train.csv", "--json", folder / "f.json")
    found = json.loads((folder / "f.json").read_text())
    assert done.returncode == 0
    assert (found["format"], found["encoding"], found["n"]) == ("csv", "utf-8", 2)
    assert found["mapping"] == {"input": "question", "reference": "answer", "id": "id"}
    by_id = {one["id"]: one for one in found["findings"]}
    assert (by_id["leak-exact"]["count"], by_id["leak-exact"]["rows"]) == (1, [1])
    assert {"too-few", "detectable-difference"} <= set(by_id)
    assert all(set(one) >= {"id", "severity", "count", "rows", "message"} for one in found["findings"])


def test_check_of_a_file_without_a_task_exits_0_and_of_an_unreadable_one_1(folder: Path) -> None:
    (folder / "other.csv").write_text("height,weight\n1,2\n")
    done = call("check", folder / "other.csv", "--json", folder / "f.json")
    found = json.loads((folder / "f.json").read_text())
    assert (done.returncode, found["mapping"]) == (0, None)
    assert [one["id"] for one in found["findings"]] == ["no-mapping", "detectable-difference"]
    (folder / "binary.csv").write_bytes(b"\x00\x01\x02\xff\xfe\x00" * 50)
    (folder / "broken.jsonl").write_text('{"question": "one"}\n{"question": \n')
    for name in ("missing.csv", "binary.csv", "broken.jsonl"):
        done = call("check", folder / name)
        assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, ""), (name, done.stderr)
        assert name in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "missing.yaml"), "missing.yaml"),
        (("run",), "--resume"),
        (("run", "c.yaml", "--concurrency", "0"), "whole number"),
        (("run", "c.yaml", "--max-cost", "much"), "dollars"),
        (("run", "c.yaml", "--no-such-option"), "--no-such-option"),
        (("run", "--resume", "no-such-run"), "no-such-run"),
        (("run", "c.yaml", "--json", "eval.csv/r.json"), "eval.csv/r.json"),
        (("export", "no-such-run", "--csv", "x.csv"), "no-such-run"),
        (("train", "c.yaml", "--candidate", "old"), "tune"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_each_wrong_call_is_one_line_and_exits_1(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ftvp_core", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        ("candidates:", "candidates: [", "c.yaml"),
        ("path: eval.csv", "path: no.csv", "no.csv"),
        ("path: eval.csv", "path: eval.csv, input: q", "'q'"),
        ("path: eval.csv", "path: eval.csv, limit: 0", "eval_set.limit"),
        ("recorded: old.csv", "recorded: unknown.csv", "'r9'"),
        ("recorded: old.csv", "recorded: twice.csv", "stands twice"),
        ("recorded: old.csv", "model: local/no/such/folder", "no/such/folder"),
        ("candidates:", "graders: [vibes]\ncandidates:", "vibes"),
        ("candidates:", "knowledge: {path: nowhere}\ncandidates:", "nowhere"),
    ],
)
def test_each_mistake_in_the_file_is_one_line_and_exits_1(folder: Path, changed: str, to: str, said: str) -> None:
    (folder / "unknown.csv").write_text("id,output\nr9,yes\n")
    (folder / "twice.csv").write_text("id,output\nr1,yes\nr1,no\n")
    (folder / "c.yaml").write_text(FILE.replace(changed, to))
    done = call("run", folder / "c.yaml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert said in done.stderr


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
