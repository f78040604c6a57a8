"""A planted comparison makes each rule fire, and another one not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from ftvp_core.analysis.comparison import ArmResults, LedgerRow, compare
from ftvp_core.decision.rules import MEANING, RULES, decide
from ftvp_core.spec import DecideSpec
from ftvp_core.types import Billed, Comparison, Decision, Distillation, Finding, Interval, Method, Tokens, ValidOutput

N = 200


def planted(
    rights: Mapping[str, float],
    methods: Mapping[str, Method] | None = None,
    costs: Mapping[str, str] | None = None,
    n: int = N,
) -> Comparison:
    """Candidates that are right on the first share of `n` examples: a better one is right wherever a worse one is."""
    arms = []
    for name, share in rights.items():
        each = Decimal((costs or {}).get(name, "0.001"))
        method: Any = (methods or {}).get(name, name)
        arms.append(
            ArmResults(
                name, method, "one/m", np.arange(n), np.ones(n, dtype=bool), (np.arange(n) < round(share * n)).astype(float),
                np.full(n, 0.5), np.full(n, np.nan), [each] * n, [""] * n, [LedgerRow(-1, n, 0, 0, each * n, Tokens(1, 0, 1))], np.full((n, 4), np.nan),
                np.full(n, np.nan), [None] * n, np.zeros(n, dtype=bool),
            )
        )  # fmt: skip
    return compare(arms, np.arange(n), [()] * n, 0.02)


def taught(rights: Mapping[str, float]) -> Comparison:
    """The same, with a student that learned from `rag` and costs a tenth of it."""
    unbilled = Billed(0, 0, None, Tokens(None, None, None))
    one = Distillation("fine-tuned", "rag", None, "all", 1, 20, 20, {}, 0, None, {}, unbilled)
    return replace(planted(rights, costs={"rag": "0.01", "fine-tuned": "0.001"}), distillations=(one,))


def fired(decision: Decision) -> set[str]:
    return {rule.id for rule in decision.rules if rule.fired}


SETTINGS = DecideSpec()
EQUAL: dict[str, str] = {"rag": "0.01", "prompt": "0.001"}
CASES: Sequence[tuple[str, Comparison, Comparison, frozenset[str]]] = [
    ("prompt-reaches-target", planted({"prompt": 0.95}), planted({"prompt": 0.82}), frozenset()),
    ("fine-tuning-candidate", planted({"prompt": 0.5}), planted({"prompt": 0.78}), frozenset()),
    ("new-knowledge", planted({"prompt": 0.2, "rag": 0.8}), planted({"prompt": 0.79, "rag": 0.8}), frozenset()),
    ("fine-tuning-adopted", planted({"prompt": 0.4, "fine-tuned": 0.9}), planted({"prompt": 0.9, "fine-tuned": 0.91}), frozenset()),
    ("no-improvement", planted({"prompt": 0.9, "fine-tuned": 0.91}), planted({"prompt": 0.4, "fine-tuned": 0.9}), frozenset()),
    ("floor-wins", planted({"floor": 0.9, "prompt": 0.7}), planted({"floor": 0.5, "prompt": 0.7}), frozenset()),
    ("smaller-is-enough", planted({"rag": 0.9, "prompt": 0.9}, costs=EQUAL), planted({"rag": 0.9, "prompt": 0.9}), frozenset()),
    ("not-decided", planted({"prompt": 0.80, "few-shot": 0.82}), planted({"prompt": 0.5, "few-shot": 0.9}), frozenset()),
    (
        "structured-output",
        planted({"plain": 0.4, "json": 0.9}, {"plain": "prompt", "json": "prompt"}),
        planted({"plain": 0.9, "json": 0.9}, {"plain": "prompt", "json": "prompt"}),
        frozenset({"json"}),
    ),
    ("distilled-is-enough", taught({"rag": 0.9, "fine-tuned": 0.9}), taught({"rag": 0.9, "fine-tuned": 0.8}), frozenset()),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "yes", "no", "structured"), CASES, ids=[case[0] for case in CASES])
def test_each_rule_fires_where_it_should_and_nowhere_else(
    rule: str, yes: Comparison, no: Comparison, structured: frozenset[str]
) -> None:
    assert rule in fired(decide(yes, SETTINGS, structured=structured))
    assert rule not in fired(decide(no, SETTINGS, structured=structured))


def test_every_rule_is_planted_and_has_a_meaning() -> None:
    ids = {rule.id for rule in decide(planted({"prompt": 0.9}), SETTINGS).rules}
    assert ids == {case[0] for case in CASES} == set(MEANING)
    assert len(ids) == len(RULES)


def test_each_rule_shows_the_figures_that_made_it() -> None:
    decision = decide(planted({"prompt": 0.4, "fine-tuned": 0.9}), SETTINGS)
    adopted = next(rule for rule in decision.rules if rule.id == "fine-tuning-adopted")
    assert "fine-tuned against prompt: +50.0 points" in adopted.evidence and "n 200" in adopted.evidence


@pytest.mark.parametrize(
    ("rights", "costs", "chosen"),
    [
        ({"prompt": 0.80, "fine-tuned": 0.82}, {}, "prompt"),  # not shown better: the lesser effort stays
        ({"prompt": 0.40, "fine-tuned": 0.82}, {}, "fine-tuned"),
        ({"fine-tuned": 0.82, "prompt": 0.40}, {}, "fine-tuned"),  # the file's order doesn't matter
        ({"floor": 0.90, "prompt": 0.70, "rag": 0.72}, {}, "floor"),
        ({"prompt": 0.60, "rag": 0.80, "fine-tuned": 0.81}, {}, "rag"),
        ({"prompt": 0.80, "fine-tuned": 0.815}, {"prompt": "0.01", "fine-tuned": "0.001"}, "fine-tuned"),  # as good, a tenth as dear
        ({"prompt": 0.80, "fine-tuned": 0.76}, {"prompt": "0.01", "fine-tuned": "0.001"}, "prompt"),  # may be worse
    ],
)  # fmt: skip
def test_prompt_first_and_more_effort_only_where_it_is_shown_to_be_worth_it(
    rights: dict[str, float], costs: dict[str, str], chosen: str
) -> None:
    assert decide(planted(rights, costs=costs), SETTINGS).choose == chosen


def test_too_few_answers_choose_nothing() -> None:
    assert decide(planted({"prompt": 1.0, "rag": 0.0}, n=9), SETTINGS).choose is None


def test_warnings_pass_on_the_datas_findings_and_name_what_was_tried_first() -> None:
    leak = Finding("leak-exact", "error", 3, (1, 2, 3), "three rows leak")
    note = Finding("detectable-difference", "info", 200, (), "a note")
    decision = decide(planted({"fine-tuned": 0.9}), SETTINGS, [leak, note])
    assert {warning.id for warning in decision.warnings} == {"leak-exact", "fine-tuning-first"}


def test_cut_answers_are_a_warning_where_they_may_have_cost_accuracy() -> None:
    comparison = planted({"prompt": 0.5})
    for cut, wrong, is_said in ((N, 2, False), (3, 3, True)):  # a label of one token ends where its limit does
        of_it = replace(comparison.candidates[0], n_cut=cut, n_cut_wrong=wrong)
        decision = decide(replace(comparison, candidates=(of_it,)), SETTINGS, [])
        assert ([warning.id for warning in decision.warnings] == ["cut-answers"]) is is_said


def test_a_schema_that_answers_often_break_is_not_a_format_reached() -> None:
    held = planted({"plain": 0.4, "json": 0.9}, {"plain": "prompt", "json": "prompt"})
    plain, json_ = held.candidates
    traces = []
    for valid in (0.97, 0.6):
        figures = replace(
            json_, valid_output=ValidOutput(valid, Interval(valid - 0.05, valid + 0.03), N, {"native": N})
        )
        decision = decide(replace(held, candidates=(plain, figures)), SETTINGS, (), frozenset({"json"}))
        traces.append(next(rule for rule in decision.rules if rule.id == "structured-output"))
    assert [trace.fired for trace in traces] == [True, False]
    assert "valid output 97 % (92–100" in traces[0].evidence


def test_figures_are_written_as_people_write_them() -> None:
    """A true minus, a unit, and a forecast of no more digits than it is worth."""
    rules = {
        rule.id: rule.evidence for rule in decide(planted({"rag": 0.9, "prompt": 0.9}, costs=EQUAL), SETTINGS).rules
    }
    assert rules["smaller-is-enough"].endswith("cost per 1,000 $1 against $10")
    close = {rule.id: rule.evidence for rule in decide(planted({"prompt": 0.80, "few-shot": 0.82}), SETTINGS).rules}
    assert close["not-decided"].endswith("about 390 examples would show it")
    worse = {rule.id: rule.evidence for rule in decide(planted({"prompt": 0.9, "fine-tuned": 0.5}), SETTINGS).rules}
    assert worse["no-improvement"].startswith("fine-tuned against prompt: −40.0 points (−46")
