"""Retrieval on Compare: figures, diagnoses, and what each prompt held."""

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main as command
from ftvp_core.drafts import new_draft
from tests.fault_server import Served, fault_server, is_right
from tests.pages.conftest import Home, said

Opened = Callable[..., AppTest]
PAGES = {
    "refund.md": "A refund takes three days.",
    "parcel.md": "배송지를 바꾸려면 parcel 창을 여세요.",
    "hours.md": "Open until six.",
}
#: What is asked, and the gold page; the last third asks for a page that its words don't find.
ASKED = [("refund?", "refund.md"), ("parcel?", "parcel.md"), ("the refund", "hours.md")]


@pytest.fixture
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.0) as served:
        yield served


@pytest.fixture
def run_id(home: Home, server: Served) -> str:
    (home.folder / "docs").mkdir()
    for name, text in PAGES.items():
        (home.folder / "docs" / name).write_text(text, encoding="utf-8")
    rows = [f"r{at},[ex-{at}] {ASKED[at % 3][0]},yes,{ASKED[at % 3][1]}" for at in range(30)]
    (home.folder / "eval.csv").write_text("\n".join(["id,question,answer,gold", *rows]), encoding="utf-8")
    file = home.folder / "c.yaml"
    file.write_text(
        "eval_set: {path: eval.csv, input: question, reference: answer, gold: gold}\nknowledge: {path: docs}\n"
        f'providers: {{one: {{base_url: "{server.url}"}}}}\n'
        "candidates:\n"
        "  - {name: rag, model: one/m, prompt: {system: Be brief., user: 'Use {context} for {question}'}, retrieval: {mode: lexical, top_k: 1}}\n"
        "  - {name: closed, model: one/other, prompt: {user: '{question}'}}\n"
    )  # fmt: skip
    assert command(["run", str(file)]) == 0
    return home.store.runs()[0].id


def test_figures_and_diagnoses_are_what_happened(run_id: str, home: Home, opened: Opened) -> None:
    at = opened("pages/4_Compare.py", run_id)
    assert not at.exception
    table = next(frame.value for frame in at.dataframe if "MRR, %" in frame.value)
    (row,) = table.to_dict("records")
    right = [is_right("m", one) for one in range(30)]
    assert row["candidate"] == "rag"
    assert row["found, %"].startswith("67 (")
    assert row["not retrieved"] == sum(not right[one] for one in range(2, 30, 3))
    assert row["right without it"] == sum(right[one] for one in range(2, 30, 3))
    assert row["retrieved, answered wrong"] == sum(not right[one] for one in range(30) if one % 3 != 2)
    assert sum(row[name] for name in list(row)[5:]) == 30


def rag_first(opened: Opened, run_id: str) -> AppTest:
    at = opened("pages/4_Compare.py", run_id)
    return next(box for box in at.selectbox if box.label == "A").select("rag").run()


def test_an_example_shows_its_prompt_as_sent_and_its_passages(
    run_id: str, home: Home, opened: Opened, server: Served
) -> None:
    at = rag_first(opened, run_id)
    first = next(one for one in range(30) if is_right("m", one) and not is_right("other", one))
    assert f"r{first}" in said(at)
    sent = next(
        messages[-1]["content"] for messages in server.messages
        if len(messages) == 2 and f"[ex-{first}]" in messages[-1]["content"]
    )  # fmt: skip
    shown = [text.value for text in at.text]
    assert sent in shown and "Be brief." in shown
    page = ASKED[first % 3][1] if first % 3 != 2 else "refund.md"
    assert PAGES[page] in shown
    better = [one for one in range(30) if is_right("m", one) and not is_right("other", one)]
    marked = [mark.value.endswith(":green-badge[gold]") for mark in at.markdown if mark.value.startswith("**1.**")]
    assert marked == [one % 3 != 2 for one in better[:5]]
    labels = [box.label for box in at.expander if box.label.startswith("A:")]
    said_of = {True: "retrieved, answered right", False: "right without it"}
    assert labels == [f"A: prompt · 1 passage · {said_of[one % 3 != 2]}" for one in better[:5]]


def test_shots_stand_in_the_prompt_as_sent(home: Home, opened: Opened, server: Served) -> None:
    (home.folder / "train.csv").write_text("question,answer\n" + "\n".join(f"shot {at}?,no" for at in range(20)))
    (home.folder / "eval.csv").write_text("question,answer\n" + "\n".join(f"[ex-{at}] so?,yes" for at in range(12)))
    file = home.folder / "c.yaml"
    file.write_text(
        "eval_set: {path: eval.csv}\ntrain_set: {path: train.csv}\n"
        f'providers: {{one: {{base_url: "{server.url}"}}}}\n'
        "candidates:\n"
        "  - {name: near, model: one/m, prompt: {user: '{question}'}, shots: {k: 3, select: nearest}}\n"
        "  - {name: bare, model: one/other, prompt: {user: '{question}'}}\n"
    )
    assert command(["run", str(file)]) == 0
    at = opened("pages/4_Compare.py", home.store.runs()[0].id)
    next(box for box in at.selectbox if box.label == "A").select("bare").run()
    first = next(one for one in range(12) if is_right("other", one) and not is_right("m", one))
    assert any(box.label == "B: prompt · 3 shots" for box in at.expander)
    sent = next(m for m in server.messages if len(m) == 7 and m[-1]["content"] == f"[ex-{first}] so?")
    shown = [text.value for text in at.text]
    start = shown.index(sent[0]["content"])
    assert shown[start : start + 7] == [message["content"] for message in sent]


def test_examples_are_filtered_by_what_retrieval_did(run_id: str, home: Home, opened: Opened) -> None:
    at = rag_first(opened, run_id)
    box = next(box for box in at.selectbox if box.label == "A's retrieval")
    better = [one for one in range(30) if is_right("m", one) and not is_right("other", one)]
    unfound = [one for one in better if one % 3 == 2]
    assert f"right without it ({len(unfound)})" in box.options
    box.select("right without it").run()
    assert not at.exception
    ids = {caption.value for caption in at.caption}
    assert {f"r{one}" for one in better} & ids == {f"r{one}" for one in unfound[:5]}


def test_what_a_paid_search_takes_is_said_before_it_starts(home: Home, opened: Opened) -> None:
    (home.folder / "docs").mkdir()
    for name, text in PAGES.items():
        (home.folder / "docs" / name).write_text(text, encoding="utf-8")
    (home.folder / "eval.csv").write_text("question,answer\n" + "\n".join(f"so {at}?,yes" for at in range(10)))
    search = {"mode": "hybrid", "top_k": 2, "embedder": "one/embed", "rerank": "one/rank"}
    new_draft(home.store, {
        "eval_set": {"path": str(home.folder / "eval.csv")},
        "knowledge": {"path": str(home.folder / "docs")},
        "providers": {"one": {"base_url": "http://127.0.0.1:9/v1"}},
        "prices": {f"one/{name}": {"input": 1, "output": 1} for name in ("m", "embed", "rank")},
        "candidates": [{"name": "rag", "model": "one/m", "prompt": {"user": "{question}"}, "retrieval": search}],
        "run": {"max_cost_usd": 1},
    })  # fmt: skip
    line = "by words and meaning, top 2 · embedded by one/embed · re-ranked by one/rank"
    assert line in said(opened("pages/2_Candidates.py")).replace("\\", "")
    at = opened("pages/3_Run.py")
    assert not at.exception
    assert next(metric.value for metric in at.metric if metric.label == "Calls") == "31"  # of them 1 for the pages
    assert "21 of these calls embed or re-rank passages: fewer where an earlier run paid" in said(at)
