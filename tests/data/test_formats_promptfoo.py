"""promptfoo's tests in CSV, YAML and JSON mean here what they mean there, or say that they can't be run."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.data.examples import to_examples
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.spec import EvalSetSpec
from ftvp_core.types import Assertion, ExampleSet


def read(folder: Path, text: str, name: str) -> ExampleSet:
    (folder / name).write_text(text, encoding="utf-8")
    return to_examples(read_table(folder / name), EvalSetSpec(path=name))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Paris", Assertion("equals", "Paris")),
        ("Note: not a kind", Assertion("equals", "Note: not a kind")),
        ("contains: Hello", Assertion("contains", "Hello")),
        ("not-icontains:AI", Assertion("icontains", "AI", negated=True)),
        ("contains-any: <b>,</span>", Assertion("contains-any", ["<b>", "</span>"])),
        ('icontains-all:"a, b",c', Assertion("icontains-all", ["a, b", "c"])),
        ("starts-with:x", Assertion("starts-with", "x")),
        (r"regex:^\d{2}: x$", Assertion("regex", r"^\d{2}: x$")),
        ("is-json", Assertion("is-json")),
        ('is-json:{"required": ["a"], "minProperties": 2}', Assertion("is-json", {"required": ["a"], "minProperties": 2})),
        ("not-contains-json", Assertion("contains-json", negated=True)),
        ("levenshtein(3):abc", Assertion("levenshtein", "abc", 3)),
        ("similar(0.8):Hello there", Assertion("similar", "Hello there", 0.8)),
        ("latency(1000)", Assertion("latency", None, 1000)),
        ("cost(0.01)", Assertion("cost", None, 0.01)),
        ("grade:is polite", Assertion("llm-rubric", "is polite")),
        ("llm-rubric: is polite", Assertion("llm-rubric", "is polite")),
        ("fn:output.length < 10", Assertion("javascript", "output.length < 10")),
        ("python: len(output) < 10", Assertion("python", "len(output) < 10")),
        ("file://check.py", Assertion("file", "file://check.py")),
        ("contains:{{country}}", Assertion("contains", "France")),
        ("contains:{{ country | upper }}", Assertion("contains with a template", "{{ country | upper }}")),
        ("is-json:file://schema.json", Assertion("is-json with a file", "file://schema.json")),
    ],
)  # fmt: skip
def test_a_cell_of_expected(tmp_path: Path, cell: str, expected: Assertion) -> None:
    quoted = cell.replace('"', '""')
    found = read(tmp_path, f'country,__expected\nFrance,"{quoted}"\n', "e.csv")
    assert found.format == "promptfoo"
    assert found.examples[0].assertions == (expected,)
    assert found.examples[0].references == (("Paris",) if cell == "Paris" else ((cell,) if "kind" in cell else ()))


def test_the_special_columns_of_csv(tmp_path: Path) -> None:
    header = (
        "question,lang,__expected1,__expected2,__threshold,__description,__prefix,__suffix,__metric,"
        "__metadata:level,__metadata:tags[],__config:__expected2:threshold,__providerOutput"
    )
    row = r'Was?,de,contains:a,levenshtein:b,0.5,Erste,"Sag: "," Bitte.",m,hard,"ai,global\, warming",2,o'
    (example,) = read(tmp_path, f"{header}\n{row}\n", "e.csv").examples
    assert example.input == "Sag: Was? Bitte." and example.recorded == "o"
    assert example.tags == ("ai", "global, warming")
    assert example.columns["lang"] == "de" and example.columns["level"] == "hard"
    assert example.columns["description"] == "Erste"
    assert example.assertions == (
        Assertion("contains", "a"),
        Assertion("levenshtein", "b", 2.0),
        Assertion("threshold", threshold=0.5),
    )


def test_without_a_question_the_variables_are_the_input_by_name(tmp_path: Path) -> None:
    (example,) = read(tmp_path, "language,body,__expected\nFrench,Hello,icontains:bonjour\n", "e.csv").examples
    assert example.input == "language: French\nbody: Hello"
    assert example.columns == {"language": "French", "body": "Hello", "input": example.input}


CONFIG = """
prompts: [prompt.txt]
defaultTest:
  vars: {country: Frankreich}
  assert: [{type: not-contains, value: "AI"}]
tests:
  - description: first
    vars: {question: "Hauptstadt?", code: 007, known: yes}
    assert:
      - {type: is-json, value: {type: object, required: [a], properties: {a: {minimum: 5}}, additionalProperties: false}}
      - {type: contains, value: "{{country}}"}
      - {type: equals, value: x, weight: 0}
      - {type: assert-set, assert: [{type: contains-any, value: [1, no]}]}
  - vars: {question: [eins, zwei]}
    options: {transform: output.trim()}
    assert: [{type: javascript, value: true}]
"""


def test_a_yaml_configuration_with_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, CONFIG, "promptfooconfig.yaml")
    first, second, third = found.examples
    assert found.format == "promptfoo"
    assert first.columns["code"] == "007" and first.columns["known"] == "yes"
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"minimum": 5}}, "additionalProperties": False}
    assert first.assertions == (
        Assertion("contains", "AI", negated=True),
        Assertion("is-json", schema),
        Assertion("contains", "Frankreich"),
        Assertion("contains-any", ["1", "no"]),
    )
    assert [second.input, third.input] == ["eins", "zwei"]
    assert [one.name for one in third.assertions] == ["contains", "javascript", "transform"]


@pytest.mark.parametrize("name", ["e.yaml", "e.json", "e.jsonl"])
def test_the_same_tests_in_every_container(tmp_path: Path, name: str) -> None:
    tests: list[Any] = [
        {"vars": {"x": 5}, "assert": [{"type": "equals", "value": "8"}]},
        {"vars": {"x": "ب"}, "assert": [{"type": "is-json", "value": {"maxLength": 3}}], "threshold": 0.5},
    ]
    text = "\n".join(map(json.dumps, tests)) if name == "e.jsonl" else json.dumps(tests)
    first, second = read(tmp_path, text, name).examples
    assert (first.input, first.references, first.assertions) == ("5", ("8",), (Assertion("equals", "8"),))
    assert second.input == "ب"
    assert second.assertions == (Assertion("is-json", {"maxLength": 3}), Assertion("threshold", threshold=0.5))


def test_a_weight_under_a_threshold_is_named_not_guessed(tmp_path: Path) -> None:
    test = {"vars": {"x": "a"}, "threshold": 0.5, "assert": [{"type": "contains", "value": "a", "weight": 2}]}
    (example,) = read(tmp_path, json.dumps([test]), "e.json").examples
    assert example.assertions[0].name == "contains with weight"


def test_variables_that_make_too_many_tests_are_refused(tmp_path: Path) -> None:
    rows = [{"vars": {str(at): list("abcdefghij") for at in range(9)}}]
    with pytest.raises(UserError, match="1000000000 tests"):
        read(tmp_path, json.dumps(rows), "e.json")


def test_an_alias_in_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    text = "a: &a [x, x]\nb: &b [*a, *a]\ntests: [{vars: {q: *b}}]\n"
    with pytest.raises(UserError, match=r"line 2, column \d+: not YAML: found an alias"):
        read(tmp_path, text, "e.yaml")
