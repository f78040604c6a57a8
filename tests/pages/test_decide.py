"""Decide as a visitor meets it: why this candidate, and what couldn't be tried."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.pages.conftest import Home, said
from tests.pages.test_compare import mostly

Opened = Callable[..., AppTest]
DECIDE = "pages/5_Decide.py"


def test_without_a_run_it_offers_one(home: Home, opened: Opened) -> None:
    at = opened(DECIDE)
    assert not at.exception
    assert at.title[0].value == "Decide"
    assert [button.label for button in at.button] == ["Run the demo"]


def test_it_says_how_a_candidate_is_chosen(home: Home, opened: Opened) -> None:
    at = opened(DECIDE, home.run({"good": mostly(36), "poor": mostly(10)}))
    assert not at.exception
    assert at.title[0].value == "Choose good"
    assert "takes the least to build and keep" in said(at)


def test_rules_that_nothing_can_be_tried_on_are_folded_away_and_say_what_is_missing(home: Home, opened: Opened) -> None:
    at = opened(DECIDE, home.run({"good": mostly(36), "poor": mostly(10)}))
    (folded,) = at.expander
    assert folded.label == "Not tried (8)"
    missing = "\n".join(one.value for one in folded.markdown)
    assert "needs RAG beside a candidate without retrieval" in missing
    assert "needs a floor beside a model" in missing
    boxes = [one.value for one in at.main.markdown if one not in list(folded.markdown)]
    assert sum("holds" in box or "doesn't hold" in box for box in boxes) == 2
