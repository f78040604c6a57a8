"""A Comparison counts each answer where it belongs."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from ftvp_core.analysis.comparison import ArmResults, LedgerRow, compare
from ftvp_core.analysis.sweeps import SweepPoints, curves
from ftvp_core.types import Tokens

FAILED, UNGRADED = None, float("nan")


def arm(name: str, grades: Sequence[float | None], repeats: int = 1, cost: str | None = "0.001") -> ArmResults:
    """Grades by example (and repeat): a number, FAILED or UNGRADED."""
    n = len(grades)
    answered = np.array([grade is not None for grade in grades])
    each = Decimal(cost) if cost else None
    tokens = Tokens(10 * n, 0, n) if cost else Tokens(None, None, None)
    return ArmResults(
        name,
        "prompt",
        "one/m",
        example=np.arange(n) // repeats,
        answered=answered,
        grade=np.array([np.nan if grade is None else grade for grade in grades]),
        latency_s=np.full(n, 0.5),
        ttft_s=np.full(n, np.nan),
        request_usd=[each] * n,
        errors=["" if grade is not None else "HTTP 500" for grade in grades],
        ledger=[LedgerRow(-1, n + 2, 0, 1, each * n if each else None, tokens)],
        retrieval=np.full((n, 4), np.nan),
        valid=np.full(n, np.nan),
        json_modes=[None] * n,
        cut=np.zeros(n, dtype=bool),
        priced=each is not None,
    )


def test_failed_and_ungraded_are_counted_apart_and_never_as_wrong() -> None:
    (one,) = compare([arm("a", [1, 1, 0, FAILED, UNGRADED])], np.arange(5), [()] * 5, 0.02).candidates
    assert (one.n, one.n_scored, one.n_failed, one.n_ungraded) == (5, 3, 1, 1)
    assert one.accuracy == pytest.approx(2 / 3)
    assert one.failures == {"HTTP 500": 1}
    assert one.latency_s is not None and one.ttft_s is None


def test_of_cut_answers_those_that_are_not_right_are_counted_also_within_a_tag() -> None:
    cut = replace(arm("a", [1, 0, 0.5, UNGRADED, FAILED, 0]), cut=np.array([True, True, True, True, False, False]))
    comparison = compare([cut], np.arange(6), [("odd",) * (at % 2) for at in range(6)], 0.02)
    (one,), (odd,) = comparison.candidates, comparison.slices[0].candidates
    assert ((one.n_cut, one.n_cut_wrong), (odd.n_cut, odd.n_cut_wrong)) == ((4, 2), (2, 1))


def test_all_failed_has_no_accuracy() -> None:
    (one,) = compare([arm("a", [FAILED] * 4)], np.arange(4), [()] * 4, 0.02).candidates
    assert (one.accuracy, one.interval, one.n_failed, one.cost_per_1k_usd) == (None, None, 4, None)


def test_cost_is_of_the_ledger_and_unknown_is_none() -> None:
    known, unknown = compare([arm("a", [1, 0]), arm("b", [1, 0], cost=None)], np.arange(2), [()] * 2, 0.02).candidates
    assert (known.cost_usd, known.cost_per_1k_usd, known.attempts) == (Decimal("0.002"), Decimal("1.000"), 4)
    assert (unknown.cost_usd, unknown.cost_per_1k_usd, unknown.tokens.input) == (None, None, None)


def test_a_pair_is_compared_on_the_examples_that_both_were_scored_on() -> None:
    a, b = arm("a", [1, 1, FAILED, 1, 0]), arm("b", [0, UNGRADED, 0, 1, 1])
    (pair,) = compare([a, b], np.arange(5), [()] * 5, 0.02).pairs
    assert (pair.a, pair.b, pair.n, pair.a_only, pair.b_only) == ("a", "b", 3, 1, 1)
    assert pair.difference == 0


def test_repeats_make_no_examples() -> None:
    """Ten examples, three times each, the same every time: as sure as ten, not thirty."""
    grades = [grade for grade in (1, 1, 1, 1, 1, 1, 1, 0, 0, 0) for _ in range(3)]
    thrice = compare([arm("a", grades, repeats=3)], np.arange(10), [()] * 10, 0.02).candidates[0]
    once = compare([arm("a", grades[::3])], np.arange(10), [()] * 10, 0.02).candidates[0]
    assert thrice.n == 30 and thrice.accuracy == once.accuracy
    assert thrice.interval is not None and once.interval is not None
    width, single = (one.high - one.low for one in (thrice.interval, once.interval))
    assert width == pytest.approx(single, rel=0.1)


def test_slices_are_by_tag() -> None:
    tags = [("short",), ("short", "hard"), ("hard",), ()]
    found = compare([arm("a", [1, 0, 0, 1]), arm("b", [0, 0, 1, 1])], np.arange(4), tags, 0.02).slices
    assert [(one.tag, [each.accuracy for each in one.candidates]) for one in found] == [
        ("hard", [0.0, 0.5]),
        ("short", [0.5, 0.0]),
    ]
    assert [pair.n for one in found for pair in one.pairs] == [2, 2]


def test_pairs_keep_the_files_order_and_are_adjusted_together() -> None:
    arms = [arm("z", [1.0] * 20), arm("a", [0.0] * 20), arm("m", [1.0] * 10 + [0.0] * 10)]
    pairs = compare(arms, np.arange(20), [()] * 20, 0.02).pairs
    assert [(pair.a, pair.b) for pair in pairs] == [("z", "a"), ("z", "m"), ("a", "m")]
    assert [pair.verdict for pair in pairs] == ["better", "better", "worse"]
    assert all(
        pair.p_adjusted is not None and pair.p_value is not None and pair.p_adjusted >= pair.p_value for pair in pairs
    )


def test_a_points_seeds_count_together_with_what_was_valid_of_each() -> None:
    """Two trainings of three rows: six answers, of which four hold to the schema."""
    held = [
        replace(arm(f"a seed {seed}", [1, 0, 1]), valid=np.array(valid), json_modes=["constrained"] * 3)
        for seed, valid in enumerate(([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]))
    ]
    sweep = SweepPoints("a", "tune.rank", [(4, held), (8, held[:1])])
    (curve,) = curves([sweep], np.arange(3), 0.02)
    both, one = (point.figures.valid_output for point in curve.points)
    assert both is not None and one is not None
    assert (both.n, one.n) == (6, 3)
    assert both.value == pytest.approx(4 / 6)
    assert (dict(both.modes), dict(one.modes)) == ({"constrained": 6}, {"constrained": 3})
    assert (curve.points[0].figures.n, curve.points[0].figures.attempts) == (6, 10)
