"""A draft's candidates: what an edit takes along, what it is refused for, and what one click adds."""

from typing import Any

import pytest

from ftvp_core.draft_candidates import added, base_of, bounds_of, edited, with_student
from ftvp_core.drafts import to_spec
from ftvp_core.errors import UserError

LORA: dict[str, Any] = {"name": "lora", "model": "local/demo", "tune": {"rank": 8}}
RAG: dict[str, Any] = {"name": "rag", "model": "openai/m", "prompt": {"user": "{context} {q}"}, "retrieval": {}}
SETS = {"eval_set": {"path": "e.csv"}, "train_set": {"path": "t.csv"}, "knowledge": {"path": "k.md"}}


def draft(*candidates: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"name": "d", **SETS, "candidates": list(candidates), **parts}


def names(keys: dict[str, Any]) -> list[str]:
    return [one["name"] for one in keys["candidates"]]


def test_sweeps_students_bounds_and_bases_follow_what_they_are_made_of() -> None:
    student = {"name": "small", "model": "local/demo", "tune": {"teacher": "rag", "keep": "all"}}
    base = base_of(draft(LORA), LORA)
    assert base is not None
    sweeps = [
        {"candidate": "rag", "over": "retrieval.top_k", "values": [1, 2]},
        {"candidate": "rag, gold passages", "over": "retrieval.top_k", "values": [1, 2]},
        {"candidate": "lora", "over": "tune.rank", "values": [4, 8]},
    ]
    keys = draft(RAG, *bounds_of(RAG), LORA, base, student, sweeps=sweeps)
    keys |= edited(keys, "rag", {**RAG, "name": "조회", "prompt": {"system": "Short.", "user": "{context} {q}"}})
    assert names(keys) == ["조회", "조회, gold passages", "조회, closed book", "lora", "lora, base", "small"]
    assert {one["prompt"]["system"] for one in keys["candidates"][:3]} == {"Short."}
    assert keys["candidates"][5]["tune"]["teacher"] == "조회"
    assert [one["candidate"] for one in keys["sweeps"]] == ["조회", "조회, gold passages", "lora"]
    keys |= edited(keys, "lora", {**LORA, "prompt": {"user": "{q}!"}})
    spec = to_spec(keys)
    followed = spec.base_of(spec.by_name("lora"))
    assert followed is not None and (followed.name, followed.prompt.user) == ("lora, base", "{q}!")


def test_what_was_edited_itself_is_left_as_it_is() -> None:
    oracle, closed = bounds_of(RAG)
    mine = {**closed, "prompt": {"user": "Guess: {q}"}}
    keys = draft(RAG, oracle, mine)
    keys |= edited(keys, "rag", {**RAG, "name": "r"})
    assert names(keys) == ["r", "r, gold passages", "rag, closed book"]
    assert keys["candidates"][2] == mine


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "lora"}, "candidate lora: is there already"),
        ({"retrieval": None}, "candidate rag: is what rag, gold passages is compared with; remove that one first"),
    ],
)
def test_an_edit_that_would_leave_something_behind_is_refused(change: dict[str, Any], why: str) -> None:
    keys = draft(RAG, bounds_of(RAG)[0], LORA)
    with pytest.raises(UserError, match=why):
        edited(keys, "rag", {key: value for key, value in {**RAG, **change}.items() if value is not None})


def test_nothing_is_replaced_by_adding() -> None:
    with pytest.raises(UserError, match="candidate rag: is there already; choose another name, or edit that one"):
        added(draft(RAG), {**RAG, "model": "openai/n"})


def test_a_students_base_is_there_already_however_its_defaults_are_spelled() -> None:
    teacher = {"name": "big", "model": "openai/m", "sampling": {"max_tokens": 9}}
    plain = {"name": "plain", "model": "local/demo", "sampling": {"max_tokens": 9, "temperature": 0.0}}
    student = {"name": "small", "model": "local/demo", "prompt": {"user": "{input}"}, "tune": {"teacher": "big"}}
    assert [one["name"] for one in with_student(draft(teacher, plain), teacher, student)] == ["big", "plain", "small"]
    longer = {**plain, "sampling": {"max_tokens": 10}}
    found = with_student(draft(teacher, longer), teacher, student)
    assert [one["name"] for one in found] == ["big", "plain", "small, base", "small"], "it would end elsewhere"


def test_a_student_without_a_name_is_one_line() -> None:
    teacher = {"name": "big", "model": "openai/m"}
    with pytest.raises(UserError, match=r"candidates\[1\]\.name"):
        with_student(draft(teacher), teacher, {"name": "", "model": "local/demo", "tune": {"teacher": "big"}})
