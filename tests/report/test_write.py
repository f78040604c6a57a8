"""The report as others read it: the contract's keys, its CSV, and sentences that claim no more than is shown."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.__main__ import main
from ftvp_core.report.load import load_report
from ftvp_core.report.sentence import summary
from ftvp_core.store.opening import open_store

CANDIDATE = {
    "name", "method", "model", "n", "n_scored", "n_failed", "n_ungraded", "accuracy", "interval", "latency_s", "ttft_s",
    "tokens", "attempts", "other_attempts", "attempts_cost_unknown", "cost_usd", "cost_per_1k_usd", "training_cost_usd",
    "retrieval", "batch", "spread", "n_cut", "n_cut_wrong",
}  # fmt: skip
PAIR = {"a", "b", "n", "difference", "interval", "p_value", "p_adjusted", "verdict"}
COLUMNS = "id,candidate,input,reference,output,grade,latency_s,input_tokens,output_tokens,cost_usd,error"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    return tmp_path


def run(folder: Path, answers: Mapping[str, Sequence[str | None]], extra: str = "") -> dict[str, Any]:
    """A run of recorded answers on as many rows; every reference is `yes`. Returns the JSON report."""
    n = len(next(iter(answers.values())))
    write(
        folder / "eval.csv",
        ["id", "question", "answer", "tags"],
        [[f"r{at}", f"q{at}", "yes", "odd" if at % 2 else "even"] for at in range(n)],
    )
    lines = ["name: written", "eval_set: {path: eval.csv}", "prices: {machine_hour: 0.2}", "candidates:"]
    for at, (name, given) in enumerate(answers.items()):
        rows = [
            [f"r{row}", output, "0.5", "10", "2", "0.001"] for row, output in enumerate(given) if output is not None
        ]
        write(folder / f"{at}.csv", ["id", "output", "latency_s", "input_tokens", "output_tokens", "cost_usd"], rows)
        lines.append(f"  - {{name: {json.dumps(name)}, recorded: {at}.csv}}")
    (folder / "c.yaml").write_text("\n".join([*lines, extra]))
    outputs = [
        "--json",
        str(folder / "r.json"),
        "--csv",
        str(folder / "r.csv"),
        "--comparison-csv",
        str(folder / "c.csv"),
    ]
    main(["run", str(folder / "c.yaml"), *outputs])
    loaded: dict[str, Any] = json.loads((folder / "r.json").read_text())
    return loaded


def write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def test_the_json_has_the_contracts_keys_and_unrounded_numbers(folder: Path) -> None:
    report = run(folder, {"a": ["yes", "yes", "no"], "b": ["no", "yes", None]})
    assert set(report) >= {"name", "run_id", "state", "eval_set", "candidates", "slices", "curves", "pairs", "decision"}
    assert report["state"] == "done" and report["eval_set"]["n"] == 3 and len(report["eval_set"]["sha256"]) == 64
    first, second = report["candidates"]
    assert set(first) >= CANDIDATE and set(report["pairs"][0]) >= PAIR
    assert first["accuracy"] == 2 / 3 and len(first["interval"]) == 2
    assert (second["n"], second["n_scored"], second["n_failed"]) == (3, 2, 1)
    assert (first["cost_usd"], first["cost_per_1k_usd"], first["attempts"]) == (0.003, 1.0, 0)
    assert first["latency_s"] == {"p50": 0.5, "p95": 0.5, "p99": 0.5} and first["ttft_s"] is None
    assert first["tokens"]["input"] == 30 and first["tokens"]["output"] == 6
    assert report["pairs"][0]["n"] == 2 and report["pairs"][0]["verdict"] == "not decided"
    assert [one["tag"] for one in report["slices"]] == ["even", "odd"]
    assert set(report["slices"][0]["candidates"][0]) >= CANDIDATE
    assert set(report["decision"]) >= {"choose", "rules", "warnings", "break_even"}
    assert all(set(rule) >= {"id", "fired", "evidence"} for rule in report["decision"]["rules"])


def test_the_csv_has_a_row_an_example_and_candidate(folder: Path) -> None:
    run(folder, {"a": ["yes", None], "=b": ["-1.5", "=1+1"]})
    text = (folder / "r.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["id"], row["candidate"]) for row in rows] == [("r0", "a"), ("r1", "a"), ("r0", "'=b"), ("r1", "'=b")]
    assert [row["output"] for row in rows] == ["yes", "", "-1.5", "'=1+1"]  # a number is no formula
    assert rows[1]["error"] == "no recorded answer" and rows[1]["grade"] == ""
    assert (rows[0]["grade"], rows[0]["latency_s"], rows[0]["cost_usd"]) == ("1.0", "0.5", "0.001")
    comparison = list(csv.DictReader((folder / "c.csv").read_text().splitlines()))
    assert [row["name"] for row in comparison] == ["a", "'=b"]
    assert comparison[0]["n_failed"] == "1" and comparison[0]["accuracy"] == "1.0"


def test_a_sweeps_points_stand_in_the_curves_alone(folder: Path) -> None:
    (folder / "train.csv").write_text("question,answer\nx,yes\ny,no\n")
    extra = "sweeps:\n  - {candidate: a, over: sampling.max_tokens, values: [8, 16]}"
    report = run(folder, {"a": ["yes", "no"]}, extra)
    assert [one["name"] for one in report["candidates"]] == ["a"] and report["pairs"] == []
    (curve,) = report["curves"]
    assert (curve["candidate"], curve["over"]) == ("a", "sampling.max_tokens")
    assert [(point["value"], point["accuracy"]) for point in curve["points"]] == [(8, 0.5), (16, 0.5)]


def sentences(folder: Path, answers: Mapping[str, Sequence[str | None]]) -> str:
    run(folder, answers)
    store = open_store()
    report = load_report(store, store.runs()[0].id)
    return " ".join(summary(report.comparison, report.decision))


def test_the_sentence_claims_a_difference_only_where_it_is_shown(folder: Path) -> None:
    said = sentences(folder, {"good": ["yes"] * 40, "poor": ["yes"] * 10 + ["no"] * 30})
    assert said.startswith("good answers 100 % right (91–100), 75 points above poor")
    said = sentences(folder, {"a": ["yes"] * 20 + ["no"] * 20, "b": ["yes"] * 22 + ["no"] * 18})
    assert "points above" not in said and "Not decided: a against b (−5 points" in said


def test_the_price_stands_beside_the_one_that_the_sentence_compares_with(folder: Path) -> None:
    """Not beside the first of the file, which nothing else is said of."""
    right = {"poor": 10, "good": 40, "rival": 30}
    said = sentences(folder, {name: ["yes"] * n + ["no"] * (40 - n) for name, n in right.items()})
    assert "25 points above rival" in said and "It costs $1.00 per 1,000 (rival: $1.00)" in said


def test_too_few_answers_are_said_to_be_too_few(folder: Path) -> None:
    assert sentences(folder, {"a": ["yes"] * 5}).startswith("Not decided: 5 graded answers are too few")
    assert sentences(folder, {"a": [None] * 5}) == "No answer has been graded yet."


def test_rows_that_leaked_are_shown_apart(folder: Path) -> None:
    """Two of ten eval rows stand in the training set, one of them but for a word: the floor knows them."""
    asked = [
        f"where is parcel {word} of my last order"
        for word in ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay"]
    ]
    (folder / "leaky.csv").write_text(
        "text,label\n" + "".join(f"{text},{'late' if at % 2 else 'lost'}\n" for at, text in enumerate(asked))
    )
    trained = [*(f"please send the invoice {at} again,late" for at in range(5)), "the box came broken today,lost"]
    trained += ["WHERE is parcel ant of my last order,lost", "where is the parcel bee of my last order,late"]
    (folder / "taught.csv").write_text("text,label\n" + "\n".join(trained) + "\n")
    (folder / "leaky.yaml").write_text(
        "eval_set: {path: leaky.csv}\ntrain_set: {path: taught.csv}\ncandidates: [{name: floor, floor: nearest}]\n"
    )
    assert main(["run", str(folder / "leaky.yaml"), "--json", str(folder / "leaky.json")]) == 0
    slices = json.loads((folder / "leaky.json").read_text())["slices"]
    assert [(one["tag"], one["candidates"][0]["n"]) for one in slices] == [("leaked", 2), ("not leaked", 8)]
    assert slices[0]["candidates"][0]["accuracy"] == 1.0


def test_a_run_says_in_which_versions_its_graders_judged(folder: Path) -> None:
    run(folder, {"a": ["yes", "no"]}, "graders: [exact_match, {regex: yes}]")
    (stored,) = open_store().runs()
    assert stored.versions["graders"] == "exact_match@1, regex@1"
    assert {"ftvp", "python", "machine"} <= stored.versions.keys()
