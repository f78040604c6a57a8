"""Every format that people bring is recognised by itself, and each part of a row lands where it belongs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.data.examples import to_examples
from ftvp_core.data.formats import fitting
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.spec import EvalSetSpec
from ftvp_core.types import Assertion, ExampleSet, Message


def read(folder: Path, rows: Any, name: str = "e.jsonl", **keys: Any) -> ExampleSet:
    """The rows as JSONL, or a text as it is."""
    text = rows if isinstance(rows, str) else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / name).write_text(text, encoding="utf-8")
    return to_examples(read_table(folder / name), EvalSetSpec.model_validate({"path": name, **keys}))


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"function": {"name": "weather", "arguments": '{"city": "Köln", "days": 1.10}'}}
CALLED = '{"name": "weather", "arguments": {"city": "Köln", "days": 1.10}}'

#: A row, its format, and what is read of it: only the parts that say something.
ROWS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"messages": [SYSTEM, user("a"), assistant("b"), user("질문"), assistant("답")]},
        "openai-chat",
        {
            "system": "Be brief.",
            "input": "질문",
            "references": ("답",),
            "history": (Message("user", "a"), Message("assistant", "b")),
        },
    ),
    (
        {"messages": [user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), assistant("c")]},
        "openai-chat",
        {"input": "a\nb", "references": ("c",)},
    ),
    (
        {"messages": [user("a"), assistant("b"), user("c"), assistant("d", weight=0)]},
        "openai-chat",
        {"input": "a", "references": ("b",)},
    ),
    ({"messages": [user("a"), assistant("b", weight=0)]}, "openai-chat", {"input": "a", "recorded": "b"}),
    (
        {"messages": [user("a"), assistant("b"), user("c")]},
        "openai-chat",
        {"input": "c", "references": (), "history": (Message("user", "a"), Message("assistant", "b"))},
    ),
    ({"messages": [user("a")], "ideal": "b"}, "openai-chat", {"input": "a", "references": ("b",)}),
    (
        {
            "messages": [
                user("Wetter?"),
                assistant(None, tool_calls=[CALL]),
                {"role": "tool", "content": "12 °C"},
                assistant("Kühl."),
            ],
            "tools": [{"type": "function"}],
        },
        "openai-chat",
        {
            "input": "[tool result] 12 °C",
            "references": ("Kühl.",),
            "history": (Message("user", "Wetter?"), Message("assistant", CALLED)),
        },
    ),
    (
        {"messages": [user("?"), assistant(None, function_call=CALL["function"])], "functions": []},
        "openai-chat",
        {"input": "?", "references": (CALLED,)},
    ),
    (
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": "Be brief."}],
            "messages": [user([{"text": "سؤال"}]), assistant([{"text": "جواب"}])],
        },
        "bedrock",
        {"system": "Be brief.", "input": "سؤال", "references": ("جواب",)},
    ),
    (
        {"messages": [user([{"text": "?"}]), assistant([{"toolUse": {"name": "f", "input": {"n": 5}}}])], "system": "s"},
        "bedrock",
        {"system": "s", "input": "?", "references": ('{"name": "f", "arguments": {"n": 5}}',)},
    ),
    (
        {"input": [SYSTEM, user("q")], "ideal": ["a", "b"]},
        "openai-evals",
        {"system": "Be brief.", "input": "q", "references": ("a", "b")},
    ),
    ({"input": "q", "ideal": "a"}, "openai-evals", {"input": "q", "references": ("a",)}),
    (
        {"vars": {"question": "Hauptstadt?", "land": "Frankreich"}, "assert": [{"type": "contains", "value": "Paris"}]},
        "promptfoo",
        {"input": "Hauptstadt?", "assertions": (Assertion("contains", "Paris"),)},
    ),
    (
        {"input": [user("q")], "target": ["a", "b"], "id": "x1", "metadata": {"n": 1}},
        "inspect",
        {"input": "q", "references": ("a", "b"), "id": "x1"},
    ),
    (
        {"input": "Which?", "target": "B", "choices": ["one", "two"]},
        "inspect",
        {"input": "Which?\n\nA) one\nB) two", "references": ("B",)},
    ),
    (
        {"instruction": "Translate.", "input": "Hund", "output": "dog", "system": "s", "history": [["a", "b"]]},
        "alpaca",
        {
            "input": "Translate.\n\nHund",
            "references": ("dog",),
            "system": "s",
            "history": (Message("user", "a"), Message("assistant", "b")),
        },
    ),
    (
        {"instruction": "Why?", "context": "", "response": "So.", "category": "open_qa"},
        "alpaca",
        {"input": "Why?", "references": ("So.",), "tags": ("open_qa",)},
    ),
    (
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f"}'},
                {"from": "observation", "value": "7"},
                {"from": "gpt", "value": "a"},
            ],
            "system": "s",
            "tools": "[]",
        },
        "sharegpt",
        {
            "input": "[tool result] 7",
            "references": ("a",),
            "system": "s",
            "history": (Message("user", "q"), Message("assistant", '{"name": "f"}')),
        },
    ),
    ({"prompt": "q", "completion": " a"}, "trl-prompt-completion", {"input": "q", "references": (" a",)}),
    (
        {"prompt": [SYSTEM, user("q")], "completion": [assistant("a")]},
        "trl-prompt-completion",
        {"input": "q", "references": ("a",), "system": "Be brief."},
    ),
    ({"text": "All of it."}, "trl-text", {"input": "All of it.", "references": ()}),
    (
        {"inputs": {"question": "q", "top_k": 5}, "expectations": {"expected_response": "a"}, "outputs": "o"},
        "mlflow",
        {"input": "q", "references": ("a",), "recorded": "o"},
    ),
    (
        {"inputs": {"messages": [user("q")]}, "expectations": {"expected_facts": ["x", "y"]}},
        "mlflow",
        {"input": "q", "references": (), "assertions": (Assertion("expected_facts", ["x", "y"]),)},
    ),
    (
        {"user_input": "q", "reference": "a", "response": "o", "retrieved_contexts": ["c", "d"]},
        "ragas",
        {"input": "q", "references": ("a",), "recorded": "o"},
    ),
    (
        {"question": "q", "answer": "o", "ground_truth": "a", "contexts": ["c"]},
        "ragas",
        {"input": "q", "references": ("a",), "recorded": "o"},
    ),
    (
        {"question": "q", "answer": "o", "ground_truths": ["a", "b"]},
        "ragas",
        {"input": "q", "references": ("a", "b"), "recorded": "o"},
    ),
    (
        {"input": "q", "actual_output": "o", "expected_output": "a", "context": ["c", "d"]},
        "deepeval",
        {"input": "q", "references": ("a",), "recorded": "o"},
    ),
    (
        {"input": {"question": "q"}, "expectedOutput": {"answer": "a"}, "metadata": None},
        "langfuse",
        {"input": "q", "references": ("a",)},
    ),
    (
        {"input": "q", "expected": "a", "output": "o", "tags": ["t"], "metadata": {}, "scores": {}},
        "braintrust",
        {"input": "q", "references": ("a",), "recorded": "o", "tags": ("t",)},
    ),
    (
        {"query": "q", "response": "o", "ground_truth": "a", "context": "c"},
        "azure",
        {"input": "q", "references": ("a",), "recorded": "o"},
    ),
    (
        {"input": "q", "output": {"output": "a", "source": {"type": "human"}}, "tags": ["golden"]},
        "kiln",
        {"input": "q", "references": ("a",), "tags": ("golden", "human")},
    ),
    (
        {"input": "q", "output": {"output": "o", "source": {"type": "synthetic"}}, "repaired_output": {"output": "a"}},
        "kiln",
        {"input": "q", "references": ("a",), "recorded": "o", "tags": ("synthetic",)},
    ),
    (
        {"title": "T", "context": "c", "question": "q", "answers": {"text": ["a", "a", "b"], "answer_start": [0]}},
        "squad",
        {"input": "q", "references": ("a", "b"), "group": "T"},
    ),
    (
        {"messages": [user("q"), {"role": "developer", "content": "Again: brief."}, assistant("a"), assistant("b")]},
        "openai-chat",
        {"input": "q\n\nAgain: brief.", "references": ("a\n\nb",)},
    ),
    ({"messages": [assistant("a")]}, "openai-chat", {"input": "", "references": ("a",)}),
    # plain columns: the container's name
    ({"question": "q", "response": "o"}, "jsonl", {"input": "q", "references": (), "recorded": "o"}),
    ({"input": "q", "output": "a"}, "jsonl", {"input": "q", "references": ("a",), "recorded": None}),
    ({"question": "q", "label": "a", "output": "o"}, "jsonl", {"input": "q", "references": ("a",), "recorded": "o"}),
    ({"input": "q", "expected_output": "a"}, "jsonl", {"input": "q", "references": ("a",)}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "format_", "parts"), ROWS, ids=[f"{row[1]}-{at}" for at, row in enumerate(ROWS)])
def test_a_row_is_recognised_and_read(tmp_path: Path, row: dict[str, Any], format_: str, parts: dict[str, Any]) -> None:
    found = read(tmp_path, [row])
    (example,) = found.examples
    expected = {"system": None, "history": (), "recorded": None, "assertions": (), **parts}
    assert found.format == format_
    assert {name: getattr(example, name) for name in expected} == expected
    assert found.mapping.input in example.columns or found.mapping.input == "input"


@pytest.mark.parametrize(("row", "format_", "parts"), ROWS, ids=[f"{row[1]}-{at}" for at, row in enumerate(ROWS)])
def test_a_column_of_json_in_csv_reads_as_json_does(
    tmp_path: Path, row: dict[str, Any], format_: str, parts: dict[str, Any]
) -> None:
    out = io.StringIO()
    cells = {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}
    writer = csv.DictWriter(out, list(cells))
    writer.writeheader()
    writer.writerow(cells)
    found = read(tmp_path, out.getvalue(), "e.csv")
    assert found.format == {"jsonl": "csv"}.get(format_, format_)
    assert found.examples[0].input == parts["input"]
    assert found.examples[0].recorded == parts.get("recorded")


def test_squad_questions_are_grouped_and_name_their_passage(tmp_path: Path) -> None:
    qas = [
        {"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 0}, {"text": "a"}, {"text": "b"}]},
        {"id": "2", "question": "r", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "no"}]},
    ]
    article = {"title": "Fox", "paragraphs": [{"context": "a b", "qas": qas}, {"context": "c", "qas": qas[:0]}]}
    found = read(tmp_path, json.dumps({"version": "2.0", "data": [article]}), "e.json")
    first, second = found.examples
    assert (found.format, first.id, first.references, second.references) == ("squad", "1", ("a", "b"), ())
    assert first.group == second.group == "Fox" and first.gold == second.gold and first.columns["context"] == "a b"


def test_snips_intents_are_references_also_where_a_file_holds_one(tmp_path: Path) -> None:
    rows = [{"data": [{"text": "play "}, {"text": "Ibar", "entity": "artist"}]}]
    one = read(tmp_path, json.dumps({"Play": rows}), "e.json")
    two = read(tmp_path, json.dumps({"Play": rows, "Rate": rows}), "e.json")
    assert (one.format, [(x.input, x.references) for x in one.examples]) == ("snips", [("play Ibar", ("Play",))])
    assert [x.references for x in two.examples] == [("Play",), ("Rate",)]


def test_one_chat_as_a_json_file_is_one_row(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps({"messages": [user("a"), assistant("b")]}), "e.json")
    assert [(x.input, x.references) for x in found.examples] == [("a", ("b",))]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"messages": [user("a")]}, {"messages": [{"role": "judge", "content": "x"}]}], r"row 2, messages\[0\].role"),
        ([{"messages": [user("a")]}, {"messages": "none"}], r"row 2, messages: found 'none'"),
        ([{"messages": [user("a")]}, {"messages": [user(None)]}], r"row 2, messages\[0\].content: found nothing"),
        (
            [{"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}])]}],
            r"row 1, messages\[0\].content\[0\]: found 'image_url'",
        ),
        ([{"conversations": [{"from": "human", "value": "a"}]}, {"conversations": {}}], r"row 2, conversations"),
        ([{"vars": {"a": "x"}, "assert": [{"value": "y"}]}], r"row 1, assert\[0\].type"),
        ([{"vars": {"a": "x"}}, {"vars": "file://x"}], r"row 2, vars: found 'file://x'"),
        ([{"vars": {"a": "x"}, "assert": [], "threshold": "high"}], r"row 1, threshold: found 'high'"),
        ([{"inputs": {"q": "x"}}, {"inputs": "x"}], r"row 2, inputs"),
        ([{"instruction": "i", "output": "o", "history": "x"}], r"row 1, history"),
        ([{"title": "t", "paragraphs": [{"qas": []}]}], r"row 1, paragraphs\[0\].context"),
    ],
)
def test_a_row_that_does_not_fit_its_file_is_named_with_its_key(tmp_path: Path, rows: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        read(tmp_path, rows)
    assert "\n" not in str(raised.value)


def test_two_readings_are_asked_about_and_either_can_be_chosen(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": "a", "contexts": ["c"]}]
    with pytest.raises(UserError) as raised:
        read(tmp_path, rows)
    assert "format: ragas (no reference, recorded answer 'a')" in str(raised.value)
    assert "format: columns (reference 'a')" in str(raised.value)
    assert read(tmp_path, rows, format="ragas").examples[0].recorded == "a"
    assert read(tmp_path, rows, format="columns").examples[0].references == ("a",)
    assert read(tmp_path, rows, reference="answer").examples[0].references == ("a",)
    assert fitting(read_table(tmp_path / "e.jsonl")) == ("ragas", "columns")


def test_a_format_that_does_not_fit_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"format: found 'squad'.*it fits alpaca, columns"):
        read(tmp_path, [{"instruction": "i", "output": "o"}], format="squad")


def test_columns_named_by_the_user_win_over_every_format(tmp_path: Path) -> None:
    rows = [{"instruction": "i", "input": "x", "output": "o", "page": "p"}]
    plain = read(tmp_path, rows, input="instruction", reference="output")
    assert (plain.format, plain.examples[0].input, plain.mapping.input) == ("jsonl", "i", "instruction")
    grouped = read(tmp_path, rows, group="page", gold="page")
    assert (grouped.format, grouped.examples[0].group, grouped.examples[0].gold) == ("alpaca", "p", ("p",))
    with pytest.raises(UserError, match="group: found no column 'chapter'"):
        read(tmp_path, rows, group="chapter")


def test_brackets_without_end_are_one_line(tmp_path: Path) -> None:
    deep = "[" * 400 + '"x"' + "]" * 400
    with pytest.raises(UserError, match="brackets"):
        read(tmp_path, f'{{"messages": [{{"role": "user", "content": {deep}}}]}}')


def test_numbers_keep_their_spelling(tmp_path: Path) -> None:
    (example,) = read(
        tmp_path, '{"inputs": {"q": "x", "n": 1.10, "big": 1e5}, "expectations": {"answer": 7.0}}'
    ).examples
    assert (example.columns["n"], example.columns["big"], example.references) == ("1.10", "1e5", ("7.0",))
    assert type(example.columns["n"]) is str


def test_passages_of_a_record_stand_for_a_prompts_context(tmp_path: Path) -> None:
    row = {"user_input": "q", "reference": "a", "retrieved_contexts": ["one", "two"]}
    assert read(tmp_path, [row]).examples[0].columns["context"] == "one\n\ntwo"
