"""Candidates: a tuned candidate's base, its learning curve and sweeps, each with one click; Compare draws what came of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from ftvp_core.drafts import draft_keys, new_draft, to_spec
from tests.pages.conftest import Home, said

Opened = Callable[..., AppTest]
PAGE = "pages/2_Candidates.py"
LORA: dict[str, Any] = {"name": "lora", "model": "local/demo", "prompt": {"user": "{text}"}, "tune": {"rank": 8}}
LABELS = ("배송", "Rückgabe", "فاتورة", "other")


def draft(home: Home, *candidates: dict[str, Any], rows: int = 200) -> str:
    for name, n in (("eval", 40), ("train", rows)):
        lines = [f"{name} {at} about {LABELS[at % 4]},{LABELS[at % 4]}" for at in range(n)]
        (home.folder / f"{name}.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    sets = {
        f"{name}_set": {"path": str(home.folder / f"{name}.csv"), "input": "text", "reference": "label"}
        for name in ("eval", "train")
    }
    return new_draft(home.store, {"name": "d", **sets, "candidates": list(candidates)})


def test_one_click_adds_a_tuned_candidates_base(home: Home, opened: Opened) -> None:
    draft_id = draft(home, LORA)
    at = opened(PAGE)
    at.button(key="base-lora").click().run()
    assert not at.exception
    keys = draft_keys(home.store, draft_id)
    assert keys["candidates"] == [LORA, {"name": "lora, base", "model": "local/demo", "prompt": {"user": "{text}"}}]
    spec = to_spec(keys)
    base = spec.base_of(spec.by_name("lora"))
    assert base is not None and base.name == "lora, base"
    assert not [button for button in at.button if button.label == "Add its base"]


def test_a_learning_curve_comes_with_a_floor_on_the_same_rows(home: Home, opened: Opened) -> None:
    draft_id = draft(home, LORA)
    at = opened(PAGE)
    assert "12 trainings" in said(at)
    at.button(key="add-curve").click().run()
    assert not at.exception
    keys = draft_keys(home.store, draft_id)
    assert [one["name"] for one in keys["candidates"]] == ["lora", "linear SVM"]
    assert keys["sweeps"] == [
        {"candidate": "lora", "over": "tune.examples", "values": [20, 50, 100, 200], "seeds": [0, 1, 2]},
        {"candidate": "linear SVM", "over": "train.rows", "values": [20, 50, 100, 200], "seeds": [0, 1, 2]},
    ]
    assert len(to_spec(keys).arms()) == 2 + 24

    at.selectbox(key="curve-sizes").select("rows a label").run()
    at.number_input(key="curve-seeds").set_value(1).run()
    at.button(key="add-curve").click().run()
    changed = draft_keys(home.store, draft_id)["sweeps"]
    assert [one["values"] for one in changed] == [[20, 40, 100, 200]] * 2
    assert [one["seeds"] for one in changed] == [[0]] * 2

    at.button(key="remove-sweep-lora-tune.examples").click().run()
    at.button(key="remove-linear SVM").click().run()
    assert not at.exception
    left = draft_keys(home.store, draft_id)
    assert "sweeps" not in left and [one["name"] for one in left["candidates"]] == ["lora"], "its sweeps go with it"


def test_too_few_rows_for_a_curve_is_one_line(home: Home, opened: Opened) -> None:
    draft_id = draft(home, LORA, rows=12)
    at = opened(PAGE)
    at.selectbox(key="curve-sizes").select("rows a label").run()
    at.button(key="add-curve").click().run()
    assert not at.exception
    assert any("has 12 rows: too few for these sizes" in text.value for text in at.text)
    assert "sweeps" not in draft_keys(home.store, draft_id)


@pytest.mark.parametrize(
    ("typed", "kept"), [("4, 16,32", [4, 16, 32]), ("2.5", None), ("four", None), ("0", None)]
)  # a rank is a whole number from 1
def test_a_sweep_takes_values_that_the_number_can_have(
    home: Home, opened: Opened, typed: str, kept: list[int] | None
) -> None:
    draft_id = draft(home, LORA)
    at = opened(PAGE)
    assert "with that luck taken off" in said(at)
    at.text_input(key="sweep-values-tune.rank").set_value(typed).run()
    at.button(key="add-sweep").click().run()
    assert not at.exception
    sweeps = draft_keys(home.store, draft_id).get("sweeps")
    assert sweeps == ([{"candidate": "lora", "over": "tune.rank", "values": kept}] if kept else None)


def test_without_a_tune_there_is_no_learning_curve(home: Home, opened: Opened) -> None:
    draft(home, {"name": "p", "model": "openai/m", "prompt": {"user": "{text}"}})
    at = opened(PAGE)
    assert not at.exception
    assert not [button for button in at.button if button.key in {"add-curve", "add-sweep"}]


def test_compare_draws_a_curve_with_its_fit_and_finding(home: Home, opened: Opened) -> None:
    draft(home)
    (home.folder / "c.yaml").write_text(
        "name: c\neval_set: {path: eval.csv, input: text, reference: label}\n"
        "train_set: {path: train.csv, input: text, reference: label}\n"
        "candidates:\n  - {name: <b>svm</b>, floor: tfidf-svm}\n"
        "sweeps: [{candidate: <b>svm</b>, over: train.rows, values: [2, 4, 20, 100], seeds: [0, 1]}]\n",
        encoding="utf-8",
    )
    assert main(["run", str(home.folder / "c.yaml")]) == 0
    at = opened("pages/4_Compare.py", home.store.runs()[0].id)
    assert not at.exception
    chart = next(one for one in at.get("plotly_chart") if "by training rows" in one.proto.alt)
    spec = json.loads(chart.proto.spec)
    assert spec["layout"]["xaxis"]["type"] == "log"
    assert "<b>svm" not in chart.proto.spec
    dashes = [trace["line"].get("dash") for trace in spec["data"] if trace.get("mode") == "lines"]
    assert "dash" in dashes and "solid" in dashes
    assert any(text.value.startswith("<b>svm</b>: ") and "rows" in text.value for text in at.text)


def test_a_forgetting_set_is_chosen_and_removed_on_data(home: Home, opened: Opened) -> None:
    draft_id = draft(home, LORA)
    at = opened("pages/1_Data.py")
    uploader = next(one for one in at.file_uploader if one.key == f"upload-forgetting_set-{draft_id}")
    uploader.upload("general.csv", b"frage,antwort\n1+1,2\n2+2,4\n").run()
    assert not at.exception
    kept = draft_keys(home.store, draft_id)["forgetting_set"]
    assert kept["path"].endswith("general.csv")
    at.button(key="remove-forgetting_set").click().run()
    assert "forgetting_set" not in draft_keys(home.store, draft_id)
