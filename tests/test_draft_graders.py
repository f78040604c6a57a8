"""A draft's graders: what suits which references, and the file's entries as the form changes them."""

import pytest

from ftvp_core.draft_graders import first_graders, judged, put_grader, suggested_grader, without_grader
from ftvp_core.errors import UserError
from ftvp_core.grading import registered
from ftvp_core.types import Assertion, Example, ExampleSet, Mapped

LONG = "Sie bekommen Ihr Geld innerhalb von drei Werktagen auf das Konto zurück, von dem es kam. Nummer {}."


def references(*given: str) -> ExampleSet:
    rows = tuple(Example(str(at), "?", (one,), {}) for at, one in enumerate(given))
    return ExampleSet("e", "0", "csv", "utf-8", Mapped("input", "reference"), rows)


@pytest.mark.parametrize(
    ("given", "fits", "said"),
    [
        (["배송", "환불", "배송", "환불", "배송", "환불"], ("exact_match", "label"), "2 labels"),
        (["0", "1", "0", "1", "1", "1"], ("exact_match", "label"), "2 labels"),
        ([f'{{"부서": {at}}}' for at in range(6)], ("json_match",), "JSON"),
        ([f"{at},000.5" for at in range(6)], ("numeric",), "numbers"),
        ([f"the {at} of May" for at in range(6)], ("contains",), "4 words"),
        ([f"يوم {at}" for at in range(6)], ("contains",), "2 words"),
        ([LONG.format(at) for at in range(6)], (), "none of these graders judges what an answer means"),
    ],
)
def test_what_suits_is_known_by_the_references(given: list[str], fits: tuple[str, ...], said: str) -> None:
    suggestion = suggested_grader(references(*given))
    assert suggestion is not None
    assert suggestion.fits == fits and said in suggestion.why
    assert first_graders({}, suggestion) == (None if fits[:1] in {(), ("exact_match",)} else [fits[0]])
    for chosen in ({"graders": ["label"]}, {"candidates": [{"name": "a"}]}):
        assert first_graders(chosen, suggestion) is None, "somebody has chosen, or written a file that says nothing"


def test_rows_with_checks_of_their_own_are_counted_and_say_nothing_of_the_graders() -> None:
    own = Example("1", "?", ("yes",), {}, assertions=(Assertion("contains", "x"),))
    examples = ExampleSet("e", "0", "csv", "utf-8", Mapped("input", "reference"), (own,))
    found = judged(examples)
    assert (found.rows, found.own, found.suggestion) == (1, 1, None)


def test_entries_are_put_replaced_and_removed() -> None:
    assert put_grader({}, "numeric", {}) == ["exact_match", "numeric"]
    keys = {"graders": ["label", {"numeric": 0.5}]}
    assert put_grader(keys, "numeric", {"tolerance": 2}) == ["label", {"numeric": {"tolerance": 2}}]
    assert without_grader(keys, "label") == [{"numeric": 0.5}]
    with pytest.raises(UserError, match="exact_match is the only one"):
        without_grader({}, "exact_match")
    with pytest.raises(UserError, match="isn't a regular expression"):
        put_grader({}, "regex", {"pattern": "("})


def test_every_grader_says_in_one_line_what_it_finds_right() -> None:
    for one in registered():
        assert 20 < len(one.about) < 160 and "`" not in one.about, one.name
