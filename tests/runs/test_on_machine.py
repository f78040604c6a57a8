"""This machine's candidates in a run: those of one base share batches, and none answers for another."""

import csv
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftvp_core.__main__ import main
from ftvp_core.models.local import Local, Together, open_model
from ftvp_core.runs import on_machine
from ftvp_core.store.opening import open_store
from ftvp_core.types import Answer, Example, Message, Request
from tests.tiny_model import make_adapter, make_model

ROWS = 7


def test_arms_of_one_base_fill_a_batch_and_answer_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    base = make_model(tmp_path / "tiny")
    for n in (1, 2):
        make_adapter(base, tmp_path / f"lora{n}", n)
    texts = [f"item {n}" for n in range(ROWS)]
    (tmp_path / "rows.csv").write_text("text,answer\n" + "".join(f"{text},x\n" for text in texts))
    adapters = {"prompt": None, "one": "lora1", "two": "lora2"}
    same = {"model": "local/tiny", "prompt": {"user": "{text}"}, "sampling": {"max_tokens": 8}}
    rows = {"path": "rows.csv", "input": "text", "reference": "answer"}
    candidates: list[dict[str, Any]] = [
        {"name": name, **same, **({"adapter": adapter} if adapter else {})} for name, adapter in adapters.items()
    ]
    # A model of its own stands between those of one base.
    candidates.insert(2, {"name": "floor", "floor": "nearest"})
    (tmp_path / "train.csv").write_text("text,answer\nitem 1,x\nitem 2,y\n")
    file = tmp_path / "comparison.yaml"
    keys = {"eval_set": rows, "train_set": {**rows, "path": "train.csv"}, "candidates": candidates}
    file.write_text(yaml.safe_dump({**keys, "prices": {"machine_hour": 0.2}}))

    batches: list[list[str | None]] = []
    answer = Together.answer

    def noted(group: Together, asked: Sequence[tuple[Local, Request]]) -> list[Answer | str]:
        batches.append([arm.adapter for arm, _ in asked])
        return answer(group, asked)

    monkeypatch.setattr(Together, "answer", noted)
    assert main(["run", str(file), "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")]) == 0
    assert batches[0] == [None] * ROWS + ["adapter0"] * ROWS + ["adapter1"] * ROWS
    assert {len(batch) for batch in batches[1:]} == {1}  # the probes: each candidate's latency is its own

    report = json.loads((tmp_path / "r.json").read_text())
    assert [one["name"] for one in report["candidates"]] == ["prompt", "one", "floor", "two"]
    for one in report["candidates"]:
        assert (one["n"], one["n_scored"], one["attempts"]) == (ROWS, ROWS, ROWS)
        assert one["cost_usd"] > 0 and one["latency_s"]["p50"] > 0
    with (tmp_path / "r.csv").open(encoding="utf-8") as written:
        found = {(row["candidate"], row["input"]): row["output"] for row in csv.DictReader(written)}
    for name, adapter in adapters.items():
        alone = open_model(str(base), tmp_path / adapter if adapter else None, {})
        for text in texts:
            asked = Request(Example("1", text, ("x",), {}), (Message("user", text),), max_tokens=8)
            [expected] = alone.answer_batch([asked])
            assert isinstance(expected, Answer)
            assert found[name, text] == expected.output.replace("\0", "\ufffd")  # no database takes a NUL


def comparison(folder: Path, rows: int, **run: Any) -> Path:
    """One candidate of a tiny model, asked `rows` short questions."""
    make_model(folder / "tiny")
    (folder / "rows.csv").write_text("text,answer\n" + "".join(f"item {n},x\n" for n in range(rows)))
    keys = {
        "eval_set": {"path": "rows.csv", "input": "text", "reference": "answer"},
        "candidates": [
            {"name": "tiny", "model": "local/tiny", "prompt": {"user": "{text}"}, "sampling": {"max_tokens": 2}}
        ],
        "run": run,
    }
    file = folder / "comparison.yaml"
    file.write_text(yaml.safe_dump(keys))
    return file


def sizes_asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call asks from now on."""
    answer, sizes = Together.answer, []

    def noted(group: Together, asked: Sequence[tuple[Local, Request]]) -> list[Answer | str]:
        sizes.append(len(asked))
        return answer(group, asked)

    monkeypatch.setattr(Together, "answer", noted)
    return sizes


@pytest.mark.parametrize(("asked_s", "expected"), [(math.inf, [32, 128, 90]), (0, [32] * 7 + [26])])
def test_more_rows_are_asked_at_once_where_they_are_answered_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_s: float, expected: list[int]
) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(on_machine, "ASKED_S", asked_s)
    sizes = sizes_asked(monkeypatch)
    assert main(["run", str(comparison(tmp_path, 250, probe=2))]) == 0
    assert sizes == [*expected, *[1] * (on_machine.PROBE_WARM_UP + 2)]


def test_a_latency_that_a_kill_left_out_is_measured_when_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    file, report = comparison(tmp_path, 5, probe=3), tmp_path / "r.json"

    def killed(*_: Any) -> list[float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(on_machine, "_probe", killed)
        main(["run", str(file), "--json", str(report)])
    [row] = open_store().runs()
    sizes = sizes_asked(monkeypatch)
    for _ in range(2):
        assert main(["run", str(file), "--resume", row.id, "--json", str(report)]) == 0
        [found] = json.loads(report.read_text())["candidates"]
        assert (found["n_scored"], found["attempts"]) == (5, 5) and found["latency_s"]["p50"] > 0
        assert sizes == [1] * (on_machine.PROBE_WARM_UP + 3)  # and once only
    assert len(open_store().probes(row.id)[0]) == 3


def test_a_row_that_was_not_answered_has_no_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    file, report = comparison(tmp_path, 4, probe=8), tmp_path / "r.json"
    (tmp_path / "rows.csv").write_text(f"text,answer\nitem,x\n{'long ' * 99},x\nitem 2,x\nitem 3,x\n")
    assert main(["run", str(file), "--json", str(report)]) == 0
    [found] = json.loads(report.read_text())["candidates"]
    assert (found["n_scored"], found["n_failed"]) == (3, 1)
    [row] = open_store().runs()
    assert len(open_store().probes(row.id)[0]) == 6
