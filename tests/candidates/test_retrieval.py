"""Retrieval as it is sent: what is found, where it stands in the prompt, and an index that is whole or rebuilt."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftvp_core.__main__ import main
from ftvp_core.candidates.embedders import Offline
from ftvp_core.candidates.index import dense_index
from ftvp_core.report.load import load_report
from ftvp_core.store.opening import open_store
from tests.fault_server import Served, fault_server

DATA = os.environ.get("FTVP_TEST_DATA")
TOPICS = (
    "the invoice",
    "a refund",
    "my password",
    "the parcel",
    "a broken lamp",
    "opening hours",
    "the warranty",
    "my address",
)
VERBS = ("where is", "how do I change", "please explain", "I lost", "who pays for", "when do I get")
TRAIN = [(f"{verb} {topic}?", topic.split()[-1]) for verb in VERBS for topic in TOPICS]


@pytest.fixture
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.0) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    for name, rows in (("train.csv", TRAIN), ("eval.csv", [("where did the parcel go?", "parcel"), TRAIN[0]])):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([("question", "answer"), *rows])
    return tmp_path


def run(folder: Path, server: Served, candidate: str) -> str:
    """Run one candidate on the two eval rows; returns the run's id."""
    text = f"""
eval_set: {{path: eval.csv, gold: null}}
train_set: {{path: train.csv}}
knowledge: {{path: train.csv}}
providers: {{one: {{base_url: "{server.url}"}}}}
candidates: [{candidate}]
run: {{concurrency: 1}}
"""
    (folder / "c.yaml").write_text(text)
    assert main(["run", str(folder / "c.yaml")]) == 0
    return open_store().runs()[0].id


def test_the_prompt_holds_exactly_the_top_k_passages_where_the_template_puts_them(folder: Path, server: Served) -> None:
    candidate = (
        "{name: rag, model: one/m, prompt: {user: 'Use this:\\n{context}\\nQ: {question}'}, retrieval: {top_k: 3}}"
    )
    run_id = run(folder, server, candidate.replace("'", '"'))
    prompt = server.asked[0]
    assert prompt.startswith("Use this:\nquestion: ")
    assert prompt.endswith("\nQ: where did the parcel go?")
    assert prompt.count("question: ") == prompt.count("answer: ") == 3
    kept = [row.passages for row in open_store().results(run_id)]
    assert [len(passages) for passages in kept] == [3, 3]
    for number in kept[0]:
        question, answer = TRAIN[int(number.split("#")[1]) - 1]
        assert f"question: {question}\nanswer: {answer}" in prompt


def test_context_stands_before_a_prompt_that_does_not_name_it(folder: Path, server: Served) -> None:
    run(folder, server, "{name: rag, model: one/m, prompt: {user: '{question}'}, retrieval: {top_k: 1}}")
    assert server.asked[0].startswith("question: ")
    assert server.asked[0].endswith("\n\nwhere did the parcel go?")


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_each_mode_finds_what_is_asked_for(folder: Path, server: Served, mode: str) -> None:
    run_id = run(
        folder, server, f"{{name: rag, model: one/m, prompt: {{user: '{{question}}'}}, retrieval: {{mode: {mode}}}}}"
    )
    found = [[TRAIN[int(one.split("#")[1]) - 1] for one in row.passages] for row in open_store().results(run_id)]
    assert [len(passages) for passages in found] == [4, 4]
    assert all(answer == "parcel" for _, answer in found[0])
    assert found[1][0] == TRAIN[0]


def test_a_sweep_over_top_k_sends_more_passages_of_the_same_ranking(folder: Path, server: Served) -> None:
    (folder / "eval.csv").write_text("question,answer\nwhere did the parcel go?,parcel\n")
    candidate = "{name: rag, model: one/m, retrieval: {max_tokens: 120, mode: hybrid}}"
    (folder / "c.yaml").write_text(
        f"eval_set: {{path: eval.csv}}\nknowledge: {{path: train.csv}}\n"
        f'providers: {{one: {{base_url: "{server.url}"}}}}\ncandidates: [{candidate}]\n'
        "sweeps: [{candidate: rag, over: retrieval.top_k, values: [1, 2, 4, 8, 16, 500]}]\n"
    )
    assert main(["run", str(folder / "c.yaml")]) == 0
    store = open_store()
    _, *points = sorted(store.results(store.runs()[0].id), key=lambda row: row.arm)
    assert [len(point.passages) for point in points[:4]] == [1, 2, 4, 8]
    assert points[4].passages == points[5].passages, "16 and 500 passages end at the same 120 tokens"
    assert all(points[5].passages[: len(point.passages)] == point.passages for point in points)
    (curve,) = load_report(store, store.runs()[0].id).comparison.curves
    assert [point.value for point in curve.points] == [1, 2, 4, 8, 16, 500]


@pytest.mark.parametrize(
    ("retrieval", "said"),
    [
        ("{rerank: other/m}", "retrieval.rerank: found provider 'other'; add it under providers"),
        ("{embedder: other/embed}", "retrieval.embedder: found provider 'other'; add it under providers"),
        ("{rerank: local/./nowhere}", "there is no folder"),
        ("{embedder: local/./nowhere}", "there is no folder"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_call(
    folder: Path, server: Served, capsys: pytest.CaptureFixture[str], retrieval: str, said: str
) -> None:
    (folder / "c.yaml").write_text(
        f"eval_set: {{path: eval.csv}}\nknowledge: {{path: train.csv}}\n"
        f'providers: {{one: {{base_url: "{server.url}"}}}}\n'
        f"candidates: [{{name: rag, model: one/m, retrieval: {retrieval}}}]\n"
    )
    assert main(["run", str(folder / "c.yaml")]) == 1
    assert said in capsys.readouterr().err
    assert server.asked == []


def test_nearest_shots_are_turns_the_nearest_last_and_never_the_eval_row_itself(folder: Path, server: Served) -> None:
    run(folder, server, "{name: near, model: one/m, prompt: {user: '{question}'}, shots: {k: 4, select: nearest}}")
    first, second = server.messages
    assert [message["role"] for message in first] == ["user", "assistant"] * 4 + ["user"]
    assert "parcel" in first[6]["content"] and first[7]["content"] == "parcel"
    assert second[-1]["content"] == TRAIN[0][0]
    assert TRAIN[0][0] not in [message["content"] for message in second[:-1]]


def test_oracle_gives_the_gold_passage(folder: Path, server: Served) -> None:
    (folder / "eval.csv").write_text("question,answer,gold\nwhere did the parcel go?,parcel,train.csv#7\n")
    candidate = "{name: oracle, model: one/m, prompt: {user: '{question}'}, retrieval: {top_k: 2, oracle: true}}"
    (folder / "c.yaml").write_text(
        f"eval_set: {{path: eval.csv, gold: gold}}\nknowledge: {{path: train.csv}}\n"
        f'providers: {{one: {{base_url: "{server.url}"}}}}\ncandidates: [{candidate}]\n'
    )
    assert main(["run", str(folder / "c.yaml")]) == 0
    question, answer = TRAIN[6]
    assert server.asked == [f"question: {question}\nanswer: {answer}\n\nwhere did the parcel go?"]
    store = open_store()
    (oracle,) = load_report(store, store.runs()[0].id).comparison.candidates
    assert oracle.retrieval is not None and oracle.retrieval.hit_at_k.value == 1


def test_every_row_asked_in_its_own_words_is_found_first(tmp_path: Path) -> None:
    texts = [question for question, _ in TRAIN]
    index = dense_index(texts, Offline(), tmp_path, lambda done, total: None)
    assert [positions[0] for positions in index.query(texts, 3)] == list(range(len(texts)))


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
def test_every_training_row_of_banking77_asked_in_its_own_words_is_found_first(tmp_path: Path) -> None:
    with Path(str(DATA), "banking77", "train.csv").open(newline="", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    index = dense_index(texts, Offline(), tmp_path, lambda done, total: None)
    assert [texts[positions[0]] for positions in index.query(texts, 1)] == texts
