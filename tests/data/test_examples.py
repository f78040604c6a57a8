"""Rows to examples: columns found by their names, ids by the contract, every row a row."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from ftvp_core.data.examples import from_json, json_pieces, nested, sampled, to_examples
from ftvp_core.data.formats.columns import recognise
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.spec import EvalSetSpec
from ftvp_core.types import Example, ExampleSet


def load(folder: Path, content: str, name: str = "e.csv", **keys: object) -> ExampleSet:
    (folder / name).write_text(content, encoding="utf-8")
    return to_examples(read_table(folder / name), EvalSetSpec.model_validate({"path": name, **keys}))


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (("text", "category"), ("text", "category")),
        (("id", "Question", "Answer"), ("Question", "Answer")),
        (("prompt", "completion"), ("prompt", "completion")),
        (("input", "ideal"), ("input", "ideal")),
        (("output", "input"), ("input", "output")),
        (("질문", "라벨"), ("질문", "라벨")),
        (("Frage", "Antwort"), ("Frage", "Antwort")),
        (("السؤال", "الجواب"), ("السؤال", "الجواب")),
        (("a", "b"), (None, None)),
    ],
)
def test_columns_are_recognised_by_their_names(columns: tuple[str, ...], found: tuple[str | None, str | None]) -> None:
    assert recognise(columns) == found


def test_an_id_is_a_hash_with_numbers_for_repeats_and_every_row_stays(tmp_path: Path) -> None:
    examples = load(tmp_path, "text,label\na,x\nb,x\na,x\na,y\na,x\n").examples
    ids = [example.id for example in examples]
    assert ids[2] == f"{ids[0]}-2" and ids[4] == f"{ids[0]}-3"
    assert len(set(ids)) == 5 and ids[3] not in {ids[0], ids[2]}


def test_a_column_named_id_is_used_if_its_values_are_unique(tmp_path: Path) -> None:
    assert [one.id for one in load(tmp_path, "id,text,label\n007,a,x\n1e5,b,y\n").examples] == ["007", "1e5"]
    assert "7" not in [one.id for one in load(tmp_path, "id,text,label\n7,a,x\n7,b,y\n").examples]
    named = load(tmp_path, "key,text,label\nk,a,x\nk,b,y\n", id="key").examples
    assert [one.id for one in named] == ["k", "k-2"]


def test_references_tags_group_and_gold(tmp_path: Path) -> None:
    row = {"question": "q", "answer": ["a", "b"], "tags": ["short", "hard"], "page": "p1", "gold": ["d#1", "d#2"]}
    none = {"question": "r", "answer": None, "tags": "short, hard", "page": "p2", "gold": ""}
    content = "\n".join(map(json.dumps, (row, none)))
    first, second = load(tmp_path, content, "e.jsonl", group="page", gold="gold").examples
    assert (first.references, first.tags, first.group, first.gold) == (
        ("a", "b"),
        ("short", "hard"),
        "p1",
        ("d#1", "d#2"),
    )
    assert (second.references, second.tags, second.gold) == ((), ("short", "hard"), ())


def test_a_limit_is_a_seeded_sample_in_the_files_order(tmp_path: Path) -> None:
    whole = load(tmp_path, "text,label\n" + "".join(f"t{at},x\n" for at in range(100)))
    taken = [one.input for one in sampled(whole, 20, 0).examples]
    assert taken == [one.input for one in sampled(whole, 20, 0).examples]
    assert taken == sorted(taken, key=lambda text: int(text[1:])) and len(taken) == 20
    assert taken != [one.input for one in sampled(whole, 20, 1).examples]
    assert sampled(whole, 200, 0) == whole


@pytest.mark.parametrize(
    ("content", "keys", "said"),
    [
        ("a,b\n1,2\n", {}, "input"),
        ("text,label\na,b\n", {"reference": "category"}, "text, label"),
        ("text,label\n", {}, "no rows"),
    ],
)
def test_what_cannot_be_mapped_is_one_line(tmp_path: Path, content: str, keys: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, content, **keys)
    assert said in str(raised.value) and "e.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_half_a_character_is_refused_by_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 2, column text.*surrogate"):
        load(tmp_path, '{"text": "fine", "label": "x"}\n{"text": "half \\ud83d", "label": "x"}\n', "e.jsonl")


def test_a_set_survives_the_store(tmp_path: Path) -> None:
    content = json.dumps({"question": "카드 🙂\x00", "answer": ["a", "b"], "tags": ["t"], "n": 7})
    examples = load(tmp_path, content, "e.jsonl")
    assert from_json(json_pieces(examples)) == examples


def test_fewer_rows_are_part_of_more_and_labels_come_in_turn() -> None:
    rows = [Example(f"{at}", f"q{at}", ("abc"[at % 7 % 3],), {}) for at in range(70)]
    sets = [nested(rows, n, 3, by_label=True) for n in (3, 9, 15, 40)]
    for smaller, larger in pairwise(sets):
        assert larger[: len(smaller)] == smaller
    assert [Counter(one.references[0] for one in chosen) for chosen in sets[:3]] == [
        dict.fromkeys("abc", n) for n in (1, 3, 5)
    ]
    assert sorted(one.id for one in nested(rows, None, 3, by_label=True)) == sorted(one.id for one in rows)
    free = nested(rows, 20, 3, by_label=False)
    assert free[:5] == nested(rows, 5, 3, by_label=False) and free != nested(rows, 20, 4, by_label=False)
