"""Graders: right, wrong, or ungraded with a reason; in every script; never a guess."""

import unicodedata
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.grading import Graders, build, exact_match
from ftvp_core.grading.assertions import unsupported_assertions
from ftvp_core.types import Assertion, Example, ExampleSet, Grade, Mapped

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
        ("json_match", ' {"b": [1.0, "환불"],\n"a": null}', '{"a":null,"b":[1,"환불"]}', 1),
        ("json_match", '{"a": [2, 1]}', '{"a": [1, 2]}', 0),
        ("json_match", '{"a": true}', '{"a": 1}', 0),
        ("json_match", '{"a": 1}', '{"a": 1, "b": null}', 0),
        ("json_match", '```json\n{"a": 1}\n```', '{"a": 1}', 0),
        ("json_match", '{"a": NaN}', '{"a": 1}', 0),
        ("json_match", "", '{"a": 1}', 0),
        ("json_match", '{"a": 1}', "not JSON", None),
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.5])
def test_a_grade_that_is_none_is_no_pass(value: float) -> None:
    graders = Graders((("judge", lambda _: Grade(value), {}), ("exact_match", exact_match, {})), ())
    graded = graders.grade("yes", Example("1", "?", ("yes",), {}))
    assert graded.value is None and graded.reason.startswith("judge: gave")


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


def asked(output: str, *assertions: Assertion, references: tuple[str, ...] = ()) -> Grade:
    return build(["exact_match"], ()).grade(output, Example("1", "?", references, {}, assertions=assertions))


SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 5}}}


@pytest.mark.parametrize(
    ("name", "value", "output", "expected"),
    [
        ("equals", "refund", " refund\n", 1),
        ("equals", "refund", "Refund", 0),
        ("equals", {"a": [1, 2]}, '{ "a": [1, 2] }', 1),
        ("contains", "환불", unicodedata.normalize("NFD", "네, 환불입니다"), 1),
        ("contains", "refund", "a Refund", 0),
        ("icontains", "STRASSE", "Die Straße", 1),
        ("icontains", "refund", "a Refund", 1),
        ("contains-any", ["a", "z"], "abc", 1),
        ("contains-all", ["a", "z"], "abc", 0),
        ("icontains-any", ["X", "B"], "abc", 1),
        ("icontains-all", ["A", "B"], "abc", 1),
        ("starts-with", "ab", "abc", 1),
        ("starts-with", "b", "abc", 0),
        ("ends-with", "bc", "abc", 1),
        ("regex", r"^\d{2}$", "42", 1),
        ("regex", r"^\d{2}$", "142", 0),
        ("levenshtein", "kitten", "sitting", 1),
        ("word-count", "3", "one two  three", 1),
        ("word-count", {"min": 1, "max": 2}, "one two three", 0),
        ("is-json", None, '{"a": 1}', 1),
        ("is-json", None, '```{"a": 1}```', 0),
        ("is-json", None, "NaN", 0),
        ("is-json", SCHEMA, '{"a": 5}', 1),
        ("is-json", SCHEMA, '{"a": 4}', 0),
        ("is-json", {"type": "string", "pattern": "^a+$"}, '"aab"', 0),
        ("contains-json", SCHEMA, 'Here: [1] and {"a": 7}.', 1),
        ("contains-json", None, "none {here", 0),
    ],
)
def test_each_kind_of_assertion_and_its_negation(name: str, value: Any, output: str, expected: float) -> None:
    assert asked(output, Assertion(name, value)).value == expected
    assert asked(output, Assertion(name, value, negated=True)).value == 1 - expected


@pytest.mark.parametrize(("most", "expected"), [(3, 1), (2, 0)])
def test_levenshtein_counts_edits(most: float, expected: float) -> None:
    assert asked("sitting", Assertion("levenshtein", "kitten", most)).value == expected


def test_a_row_with_assertions_is_graded_by_them_alone() -> None:
    assert asked("b", Assertion("equals", "b"), references=("a",)).value == 1
    assert asked("ab", Assertion("contains", "a"), Assertion("contains", "z")).value == 0


@pytest.mark.parametrize(("least", "expected"), [(0.5, 1), (0.6, 0), (0, 1)])
def test_a_rows_threshold_is_the_mean_that_passes(least: float, expected: float) -> None:
    threshold = Assertion("threshold", threshold=least)
    assert asked("ab", Assertion("contains", "a"), Assertion("contains", "z"), threshold).value == expected


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        (Assertion("llm-rubric", "is polite"), "llm-rubric: can't be run"),
        (Assertion("similar", "x", 0.8, negated=True), "not-similar: can't be run"),
        (Assertion("contains with a template", "{{ x | upper }}"), "with a template"),
        (Assertion("contains", ""), "expected a text"),
        (Assertion("contains-any", []), "expected texts"),
        (Assertion("regex", "(?=x)"), "regular expression"),
        (Assertion("word-count", "many"), "expected a number"),
        (Assertion("is-json", {"type": "nothing"}), "not a JSON Schema"),
        (Assertion("is-json", "text"), "expected a JSON Schema"),
        (Assertion("is-json", {"pattern": "(?=x)"}), "regular expression"),
        (Assertion("is-json", {"patternProperties": {"(a+)+$": {}}}), "patternProperties"),
    ],
)
def test_what_cannot_be_run_leaves_its_row_ungraded_and_is_named_beforehand(assertion: Assertion, said: str) -> None:
    grade = asked("a", Assertion("contains", "a"), assertion)
    assert grade.value is None and said in grade.reason and "\n" not in grade.reason
    row = Example("1", "?", (), {}, assertions=(Assertion("contains", "a"), assertion))
    rows = ExampleSet("e", "0", "promptfoo", "utf-8", Mapped("input"), (Example("0", "?", ("a",), {}), row))
    name = f"not-{assertion.name}" if assertion.negated else assertion.name
    assert unsupported_assertions(rows) == [(2, name)]


def test_a_schema_or_an_answer_without_end_leaves_the_row_open() -> None:
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"items": schema}
    assert asked("[]", Assertion("is-json", schema)).value is None
    assert asked("1" + "0" * 400, Assertion("is-json", {"multipleOf": 0.1})).value is None
    assert asked("[" * 100_000, Assertion("is-json")).value == 0


def test_a_schema_fetches_nothing() -> None:
    grade = asked("{}", Assertion("is-json", {"$ref": "http://127.0.0.1:9/schema.json"}))
    assert grade.value is None and "127.0.0.1" in grade.reason
