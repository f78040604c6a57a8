"""Measures again all that the demo's model card says, and writes it there and where Home reads it.

    python scripts/demo_table.py        # `make demo-table`; some ten minutes on two cores

Runs the four comparison files of the demo from the command line, in a store of their own, so that every LoRA is
trained again. What the pre-training measured on its way is taken from its log.
"""

import csv
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pretrain_demo import GATE_ROWS

from ftvp_core.analysis.intervals import wilson

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets" / "demo"
CARD, FINDINGS = ASSETS / "MODEL_CARD.md", ASSETS / "findings.json"
#: The card's part that is written here.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
#: What a guess gets, by task.
LABEL_CHANCE, PASSAGES_CHANCE = 1 / 8, 1 / 3
#: Tasks of the table; the last is one of the pre-training's gates, and the share from which it is passed.
NEW, LABELS, FORM = "Facts: new fact", "House labels", "Fact in house form"
CHOOSING, GATE = "3 passages, same attribute", 0.80
#: A card is in house form, whatever it says.
HOUSE_FORM = re.compile(r'\{"card": "[a-z ]+", "answer": "[^"]+"\}')

Report = Mapping[str, Any]


class Cell(NamedTuple):
    """A row of the table. `method` as the comparison's report names it."""

    task: str
    name: str
    method: str
    n: int
    accuracy: float
    interval: tuple[float, float]
    remark: str = ""

    def said(self) -> str:
        low, high = self.interval
        return f"{100 * self.accuracy:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def measure(name: str, home: Path) -> tuple[Report, list[dict[str, str]], float]:
    """The report of one of the comparison files, its rows, and the seconds that all of it took."""
    started = time.perf_counter()
    report, rows = home / f"{name}.json", home / f"{name}.csv"
    command = ["run", ASSETS / f"{name}.yaml", "--json", report, "--csv", rows]
    environment = os.environ | {"FTVP_HOME": str(home / "store")}
    subprocess.run([sys.executable, "-m", "ftvp_core", *map(str, command)], cwd=ROOT, env=environment, check=True)
    with rows.open(encoding="utf-8", newline="") as file:
        return json.loads(report.read_text(encoding="utf-8")), list(csv.DictReader(file)), time.perf_counter() - started


def cells(task: str, parts: Sequence[Mapping[str, Any]], remark: str = "") -> Iterator[Cell]:
    """A cell for each candidate of a report or of one of its slices."""
    for one in parts:
        low, high = one["interval"]
        yield Cell(task, one["name"], one["method"], one["n_scored"], one["accuracy"], (low, high), remark)


def by_tag(report: Report, tag: str) -> Sequence[Mapping[str, Any]]:
    """The candidates' figures on the rows of one tag."""
    return next(each["candidates"] for each in report["slices"] if each["tag"] == tag)


def apart(rows: Sequence[Mapping[str, str]], methods: Mapping[str, str]) -> Iterator[Cell]:
    """Of the cards, the form alone and the fact alone, by candidate."""
    for name, method in methods.items():
        own = [row for row in rows if row["candidate"] == name]
        for what, right in (
            ("form alone", [bool(HOUSE_FORM.fullmatch(row["output"].strip())) for row in own]),
            ("fact alone", [json.loads(row["reference"])["answer"] in row["output"] for row in own]),
        ):
            share = sum(right) / len(right)
            yield Cell(f"House form, {what}", name, method, len(right), share, interval(share, len(right)))


def interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's, 95 %."""
    found = wilson(share, n)
    return found.low, found.high


def table() -> tuple[list[Cell], dict[str, float], list[dict[str, Any]]]:
    """All cells, the seconds of each comparison, and the findings."""
    seconds: dict[str, float] = {}
    found: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        reports: dict[str, Report] = {}
        rows: list[dict[str, str]] = []
        for name in ("facts", "labels", "form", "general"):
            reports[name], rows_here, seconds[name] = measure(name, Path(folder))
            rows = rows_here if name == "form" else rows
    facts, labels, form, general = (reports[name] for name in ("facts", "labels", "form", "general"))
    for tag in ("new fact", "drilled fact", "changed fact", "no answer"):
        found += cells(f"Facts: {tag}", by_tag(facts, tag))
    found += cells(LABELS, labels["candidates"], f"chance {LABEL_CHANCE:.3f}")
    for point in labels["curves"][0]["points"]:
        low, high = point["interval"]
        named, n = f"LoRA on {point['value']:,} rows", labels["eval_set"]["n"]
        found.append(Cell(LABELS, named, "fine-tuned", n, point["accuracy"], (low, high)))
    found += cells(FORM, form["candidates"])
    found += apart(rows, {one["name"]: one["method"] for one in form["candidates"]})
    found += cells("General", general["candidates"], "forgetting")
    choosing = _gates()[CHOOSING]
    found.append(Cell(CHOOSING, "gold among 3", "rag", GATE_ROWS, choosing, interval(choosing, GATE_ROWS)))
    return found, seconds, findings(found, form["pairs"])


def findings(found: Sequence[Cell], form_pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The four, as Home shows them: a title, a sentence, the cells that it is read from, a chance line."""

    def cell(task: str, name: str) -> Cell:
        return next(one for one in found if (one.task, one.name) == (task, name))

    def said(task: str, name: str) -> str:
        return cell(task, name).said()

    curve = [one for one in found if one.task == LABELS and one.name.startswith("LoRA on ")]
    beaten = [pair for pair in form_pairs if "LoRA + RAG" in (pair["a"], pair["b"])]
    most_p = max(pair["p_adjusted"] for pair in beaten)
    shown_p = "< 0.001" if most_p < 0.001 else f"≤ {most_p:.2g}"
    best = "better than every other one" if all(map(_wins, beaten)) else "not better than every other one"
    choosing = cell(CHOOSING, "gold among 3")
    able = "can" if choosing.accuracy >= GATE else "can't reliably"
    return [
        _finding(
            "New facts need retrieval",
            f"Asked what it never read, the prompt is right in {said(NEW, 'prompt')}, RAG in {said(NEW, 'RAG')}. A LoRA"
            f" that was drilled in other facts wins on those alone, is wrong on what changed since, and forgets: of"
            f" general knowledge it keeps {said('General', 'LoRA')} where the base has {said('General', 'prompt')}.",
            [
                cell(NEW, "prompt"),
                cell(NEW, "RAG"),
                cell(NEW, "LoRA")._replace(name="LoRA: never trained"),
                cell("Facts: drilled fact", "LoRA")._replace(name="LoRA: drilled into it"),
                cell("Facts: changed fact", "LoRA")._replace(name="LoRA: changed since"),
            ],
        ),
        _finding(
            "A house's own labels need tuning",
            f"No prompt can know the codes: {said(LABELS, 'prompt')}; with eight examples {said(LABELS, 'few-shot')}"
            f" (chance {100 * LABEL_CHANCE:.1f} %). The LoRA learns them from rows. The floor, a linear SVM on the same"
            f" rows, has {said(LABELS, 'linear SVM')}.",
            [*(cell(LABELS, name) for name in ("prompt", "few-shot", "nearest shots")), *curve, cell(LABELS, "linear SVM")],
            LABEL_CHANCE,
        ),
        _finding(
            "New facts in a fixed form need both",
            f"RAG has the fact and not the form, the LoRA the form and not the fact. LoRA + RAG is {best}"
            f" (adjusted p {shown_p}).",
            [cell(FORM, name) for name in ("prompt", "few-shot", "RAG", "few-shot + RAG", "LoRA", "LoRA + RAG")],
        ),
        _finding(
            "Similar passages are told apart by one name, not by every one",
            f"Among three passages of the same attribute it finds the right team's in {choosing.said()}: it {able} choose"
            f" between similar passages. The three that a search brings are mostly one team's, of other attributes: with"
            f" them RAG is right in {said(NEW, 'RAG of 3')}, with the first alone in {said(NEW, 'RAG')}. So the demo"
            " retrieves one.",
            [cell(NEW, "RAG")._replace(name="RAG, 1 passage"), cell(NEW, "RAG of 3"), choosing],
            PASSAGES_CHANCE,
        ),
    ]  # fmt: skip


def _finding(title: str, text: str, shown: Sequence[Cell], chance: float | None = None) -> dict[str, Any]:
    drawn = [
        {"name": one.name, "method": one.method, "n": one.n, "accuracy": one.accuracy, "interval": one.interval}
        for one in shown
    ]
    return {"title": title, "text": text, "chance": chance, "cells": drawn}


def _wins(pair: Mapping[str, Any]) -> bool:
    return bool(pair["verdict"] == ("better" if pair["a"] == "LoRA + RAG" else "worse"))


def _gates() -> Mapping[str, float]:
    """What the pre-training measured last, on held-out names, values and wordings."""
    log = json.loads((ASSETS / "pretraining.json").read_text(encoding="utf-8"))["log"]
    gates: Mapping[str, float] = next(entry["gates"] for entry in reversed(log) if "gates" in entry)
    return gates


def markdown(found: Sequence[Cell], seconds: Mapping[str, float], shown: Sequence[Mapping[str, Any]]) -> str:
    """The card's measured part."""
    lines = [f"Measured {today()} by `make demo-table` (intervals 95 %).", ""]
    lines += [f"{at}. **{one['title']}.** {one['text']}" for at, one in enumerate(shown, 1)]
    lines += ["", "| Task | Candidate | n | Right | 95 % interval | |", "|---|---|---:|---:|---|---|"]
    lines += [
        f"| {one.task} | {one.name} | {one.n} | {one.accuracy:.3f} | {one.interval[0]:.3f}–{one.interval[1]:.3f} | {one.remark} |"
        for one in found
    ]
    lines += ["", f"| Pre-training's gates ({GATE_ROWS} rows each) | Right |", "|---|---:|"]
    lines += [f"| {name} | {share:.2f} |" for name, share in _gates().items()]
    took = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return "\n".join([*lines, "", f"The comparisons took, training included: {took}.", ""])


def today() -> str:
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def main() -> None:
    found, seconds, shown = table()
    content = json.dumps({"measured": today(), "findings": shown}, ensure_ascii=False, indent=1)
    FINDINGS.write_text(f"{content}\n", encoding="utf-8")
    card = CARD.read_text(encoding="utf-8")
    before, _, rest = card.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = markdown(found, seconds, shown)
    CARD.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
