"""Real files of each format, as their makers publish them."""

import json
import os
from pathlib import Path

import pytest

from ftvp_core.candidates.lookup import golden
from ftvp_core.data.examples import to_examples
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.grading import build
from ftvp_core.grading.assertions import unsupported_assertions
from ftvp_core.spec import EvalSetSpec, KnowledgeSpec
from ftvp_core.types import ExampleSet

DATA = Path(os.environ.get("FTVP_TEST_DATA", ""))
pytestmark = pytest.mark.skipif("FTVP_TEST_DATA" not in os.environ, reason="FTVP_TEST_DATA is not set")


def load(name: str) -> ExampleSet:
    return to_examples(read_table(DATA / name), EvalSetSpec(path=name))


@pytest.mark.parametrize(
    ("name", "format_", "n", "input_", "references"),
    [
        ("upload-formats/llama-factory/alpaca_en_demo.json", "alpaca", 999, "Describe a process of making crepes.", None),
        ("upload-formats/llama-factory/glaive_toolcall_en_demo.json", "sharegpt", 300, "They both sound delicious", None),
        ("upload-formats/openai-cookbook/toy_chat_fine_tuning.jsonl", "openai-chat", 5, "I fell off my bike today.", None),
        ("upload-formats/promptfoo/simple-csv-tests.csv", "promptfoo", 4, "language: French\nbody: Hello world", ()),
        ("upload-formats/promptfoo/eval-self-grading-tests.csv", "promptfoo", 10, "Can you help me find a specific", ()),
        ("upload-formats/inspect/samples-mcq.csv", "inspect", 1, "Which is the smallest number?\n\nA) 1\nB) 2", ("A",)),
        ("upload-formats/inspect/security_guide.jsonl", "inspect", 16, "How do I prevent SQL Injection attacks?", None),
        ("upload-formats/inspect/biology_qa.jsonl", "jsonl", 20, "Hansen's disease", ("Leprosy",)),
        ("upload-formats/inspect/popularity.jsonl", "jsonl", 100, "Is the following statement", (" Yes",)),
        ("snips/train_PlayMusic.json", "snips", 300, "", ("PlayMusic",)),
        ("xquad/xquad.en.json", "squad", 1190, "How many points did the Panthers defense surrender?", ("308",)),
        ("streamlit-docs/kb_faq.jsonl", "jsonl", 30, "How do I create an anchor link?", None),
    ],
)  # fmt: skip
def test_a_published_file_needs_no_mapping(
    name: str, format_: str, n: int, input_: str, references: tuple[str, ...] | None
) -> None:
    found = load(name)
    assert (found.format, len(found.examples)) == (format_, n)
    assert found.examples[0].input.startswith(input_)
    assert references is None or found.examples[0].references == references
    assert len({one.id for one in found.examples}) == n


@pytest.mark.parametrize(
    "name", ["csvkit/test_latin1.csv", "csvkit/test_utf8_bom.csv", "csvkit/dummy.tsv", "messytables/example.tsv"]
)
def test_a_table_without_a_task_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="no column is recognised as the input among"):
        load(f"upload-formats/{name}")


def test_faulty_chats_stay_rows() -> None:
    """A row without a system prompt, one without a user, one with an answer of 26,000 characters."""
    _, long, no_system, no_user, huge = load("upload-formats/openai-cookbook/toy_chat_fine_tuning.jsonl").examples
    assert (long.input, long.references, len(long.history)) == (
        "I don't even know how to play golf.", ("It's easy to learn!",), 6,
    )  # fmt: skip
    assert no_system.system is None and no_system.input == "I lost my book today."
    assert (no_user.input, no_user.references) == ("", ("You're great!",))
    assert len(huge.references[0]) > 20_000


def test_instructions_hold_their_input() -> None:
    rows = json.loads((DATA / "upload-formats/llama-factory/alpaca_en_demo.json").read_text())
    for row, example in zip(rows, load("upload-formats/llama-factory/alpaca_en_demo.json").examples, strict=True):
        assert example.references == (row["output"],)
        assert example.input == row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")


def test_every_snips_intent_is_read_as_it_was_written() -> None:
    for path in sorted((DATA / "snips").glob("train_*.json")):
        intent = path.stem.partition("_")[2]
        found = load(f"snips/{path.name}")
        assert {one.references for one in found.examples} == {(intent,)}
        assert len(found.examples) == 300 and all(one.input for one in found.examples)


def test_promptfoo_rows_are_graded_as_they_ask_or_say_why_not() -> None:
    simple = load("upload-formats/promptfoo/simple-csv-tests.csv")
    graders = build(["exact_match"], ())
    assert [graders.grade("Ahoy, BONJOUR!", one).value for one in simple.examples] == [1, 0, 1, 0]
    assert unsupported_assertions(simple) == []
    judged = load("upload-formats/promptfoo/eval-self-grading-tests.csv")
    assert unsupported_assertions(judged) == [(row, "llm-rubric") for row in range(1, 11)]
    grade = graders.grade("x", judged.examples[0])
    assert grade.value is None and "llm-rubric" in grade.reason


def test_every_question_finds_its_passage_in_the_knowledge_and_no_translation() -> None:
    knowledge = read_knowledge(DATA / "xquad", KnowledgeSpec(path="x"))
    english = read_knowledge(DATA / "xquad" / "xquad.en.json", KnowledgeSpec(path="x"))
    assert len({passage.source for passage in english.passages}) == 240
    assert len({passage.source for passage in knowledge.passages} - {"LICENSE.txt"}) == 480
    assert len({passage.id for passage in knowledge.passages}) == len(knowledge.passages)
    for example in load("xquad/xquad.en.json").examples:
        found = golden(knowledge)(example)
        assert found == golden(english)(example) and found
        assert example.references[0] in example.columns["context"]
