"""Candidates: who grades is chosen on the page, explained, and kept in the comparison file."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.drafts import change, draft_keys, new_draft
from ftvp_core.grading import registered
from tests.pages.conftest import Home
from tests.pages.test_candidates import shown

Opened = Callable[..., AppTest]
PAGE = "pages/2_Candidates.py"


def draft(home: Home, *rows: dict[str, Any], **parts: Any) -> str:
    lines = [json.dumps({"id": f"q{at}", "input": "?", **one}, ensure_ascii=False) for at, one in enumerate(rows)]
    (home.folder / "e.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return new_draft(home.store, {"name": "d", "eval_set": {"path": str(home.folder / "e.jsonl")}, **parts})


def box(at: AppTest, name: str) -> Any:
    return next(one for one in at.checkbox if one.label.replace("\\", "").startswith(f"**{name}**"))


def ticked(at: AppTest) -> list[str]:
    return [one.name for one in registered() if box(at, one.name).value]


def test_json_references_are_graded_as_json_before_anybody_chose(home: Home, opened: Opened) -> None:
    draft_id = draft(home, *({"reference": json.dumps({"부서": at})} for at in range(5)))
    at = opened(PAGE)
    assert not at.exception
    assert ticked(at) == ["json_match"] and draft_keys(home.store, draft_id)["graders"] == ["json_match"]
    assert "The references are JSON" in shown(at)
    for one in registered():
        assert one.about in box(at, one.name).label.replace("\\", "")


def test_a_file_that_names_no_grader_means_exact_match_whatever_suits(home: Home, opened: Opened) -> None:
    candidates = [{"name": "a", "model": "openai/m"}]
    draft_id = draft(home, *({"reference": json.dumps({"n": at})} for at in range(5)), candidates=candidates)
    at = opened(PAGE)
    assert ticked(at) == ["exact_match"] and "graders" not in draft_keys(home.store, draft_id)
    next(button for button in at.button if button.label == "Grade by json_match").click().run()
    assert draft_keys(home.store, draft_id)["graders"] == ["json_match"]
    assert ticked(at) == ["json_match"]
    assert not [button for button in at.button if button.label.startswith("Grade by")]


def test_graders_are_ticked_and_told_their_options(home: Home, opened: Opened) -> None:
    draft_id = draft(home, *({"reference": "yes" if at % 2 else "no"} for at in range(6)))

    def kept() -> Any:
        return draft_keys(home.store, draft_id).get("graders")

    at = opened(PAGE)
    assert ticked(at) == ["exact_match"] and kept() is None
    assert box(at, "exact_match").disabled, "somebody has to judge"
    box(at, "regex").check().run()
    assert kept() == ["exact_match", "regex"] and "all have to find an answer right" in shown(at)
    at.text_input[0].set_value("(").run()
    assert not at.exception and "isn't a regular expression" in "".join(one.value for one in at.text)
    assert kept() == ["exact_match", "regex"]
    at.text_input[0].set_value("^(yes|no)$").run()
    assert kept() == ["exact_match", {"regex": {"pattern": "^(yes|no)$"}}]
    box(at, "numeric").check().run()
    next(one for one in at.number_input if one.label == "numeric: tolerance").set_value(0.5).run()
    box(at, "exact_match").uncheck().run()
    assert not at.exception
    assert kept() == [{"regex": {"pattern": "^(yes|no)$"}}, {"numeric": {"tolerance": 0.5}}]
    assert "tolerance: 0.5" in str(next(area.value for area in at.text_area if area.label.startswith("The same")))
    change(home.store, draft_id, graders=["label"])  # in another tab
    assert ticked(at.run()) == ["label"]


def test_rows_with_checks_of_their_own_are_said_to_be_judged_by_those(home: Home, opened: Opened) -> None:
    tests = [
        {"vars": {"input": "a"}, "assert": [{"type": "contains", "value": "x"}]},
        {"vars": {"input": "b"}, "assert": [{"type": "is-json"}]},
    ]
    (home.folder / "e.json").write_text(json.dumps(tests), encoding="utf-8")
    new_draft(home.store, {"name": "d", "eval_set": {"path": str(home.folder / "e.json")}})
    at = opened(PAGE)
    assert not at.exception
    assert "2 of 2 rows bring checks of their own and are judged by those alone: no grader is asked" in shown(at)


def test_a_grader_that_does_not_exist_is_one_line(home: Home, opened: Opened) -> None:
    draft(home, {"reference": "yes"}, graders=["rouge"])
    at = opened(PAGE)
    assert not at.exception
    assert "found 'rouge'; expected one of" in "".join(one.value for one in at.text)
    assert [one for one in at.button if one.label == "Add"], "the rest of the page is there"


@pytest.mark.parametrize("given", [[{"regex": "a"}, {"regex": "b"}]])
def test_what_the_form_cannot_show_is_left_alone(home: Home, opened: Opened, given: list[Any]) -> None:
    draft_id = draft(home, {"reference": "yes"}, graders=given)
    at = opened(PAGE)
    assert not at.exception and "regex stands several times" in shown(at)
    box(at, "label").check().run()
    assert draft_keys(home.store, draft_id)["graders"] == [*given, "label"]
