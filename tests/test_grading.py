"""Graders: right, wrong, or ungraded with a reason; in every script; never a guess."""

import unicodedata
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.grading import build
from ftvp_core.types import Example

LABELS = ("card_arrival", "card arrival date", "refund", "환불 요청", "استرداد")


def value(grader: Any, output: str, *references: str, labels: tuple[str, ...] = LABELS) -> float | None:
    return build([grader], labels).grade(output, Example("1", "?", references, {})).value


@pytest.mark.parametrize(
    ("grader", "output", "reference", "expected"),
    [
        ("exact_match", " refund\n", "refund", 1),
        ("exact_match", "Refund", "refund", 0),
        ("exact_match", unicodedata.normalize("NFD", "환불 요청"), "환불 요청", 1),
        ("exact_match", "", "refund", 0),
        ("exact_match", "0", "0", 1),
        ("contains", "It is a refund.", "refund", 1),
        ("contains", "الجواب: استرداد المال", "استرداد", 1),
        ("contains", "It is a Refund.", "refund", 0),
        ("regex", "order 1234", r"order \d+", 1),
        ("regex", "order", r"order \d+", 0),
        ({"regex": r"^\{.*\}$"}, '{"a": 1}', "anything", 1),
        ("numeric", "The answer is 1,234.50.", "1234.5", 1),
        ("numeric", "first 3, then −7", "-7", 1),
        ("numeric", "1e3", "1000", 1),
        ("numeric", "none", "5", 0),
        ({"numeric": {"tolerance": 0.01}}, "3.141", "3.14", 1),
        ({"numeric": {"tolerance": 0.0001}}, "3.141", "3.14", 0),
        ("label", "Card Arrival.", "card_arrival", 1),
        ("label", 'The label is "card_arrival"', "card_arrival", 1),
        ("label", "card arrival date", "card_arrival", 0),  # a longer label holds the shorter one
        ("label", "card_arrival or refund", "card_arrival", 0),  # two named: none said
        ("label", "something else", "refund", 0),
        ("label", "refunding", "refund", 0),
        ("label", "답: 환불 요청", "환불 요청", 1),
        ("label", "استرداد", "استرداد", 1),
    ],
)
def test_each_grader(grader: Any, output: str, reference: str, expected: float) -> None:
    assert value(grader, output, reference) == expected


def test_any_of_several_references_will_do() -> None:
    assert value("exact_match", "b", "a", "b") == 1
    assert value("exact_match", "c", "a", "b") == 0


@pytest.mark.parametrize(
    ("grader", "references", "reason"),
    [("exact_match", (), "no reference"), ("numeric", ("many",), "no number"), ("regex", ("(",), "regular expression")],
)
def test_what_cannot_be_judged_is_ungraded_with_the_reason(
    grader: str, references: tuple[str, ...], reason: str
) -> None:
    grade = build([grader], ()).grade("5", Example("1", "?", references, {}))
    assert grade.value is None and reason in grade.reason


def test_all_graders_must_pass_and_one_that_cannot_judge_leaves_it_open() -> None:
    assert build(["contains", "exact_match"], ()).grade("a b", Example("1", "?", ("a",), {})).value == 0
    assert build(["contains", "exact_match"], ()).grade("a", Example("1", "?", ("a",), {})).value == 1
    assert build(["contains", "numeric"], ()).grade("a", Example("1", "?", ("a",), {})).value is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("exact", "expected one of"),
        ({"regex": "("}, "regular expression"),
        ({"numeric": {"tolerance": "wide"}}, "a number"),
        ({"contains": {"case": True}}, "expected none"),
        ({"a": 1, "b": 2}, "2 keys"),
    ],
)
def test_a_wrong_grader_is_one_line_with_its_place(entry: Any, said: str) -> None:
    with pytest.raises(UserError) as raised:
        build(["exact_match", entry], ())
    assert "graders[1]" in str(raised.value) and said in str(raised.value) and "\n" not in str(raised.value)


def test_no_pattern_can_hang_a_run() -> None:
    assert value({"regex": "(a+)+$"}, "a" * 5000 + "b", "x") == 0
