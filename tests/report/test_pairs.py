"""A pair says the same from either side."""

import pytest

from ftvp_core.analysis.paired import pair_of
from ftvp_core.report import figures
from ftvp_core.report.relations import Against, against
from ftvp_core.types import Comparison, Interval, PairFigures

PAIR = PairFigures("a", "b", 40, 0.1, Interval(0.02, 0.18), 0.01, 0.02, "better", 7, 3)


def test_seen_from_the_other_side_a_gain_is_a_loss() -> None:
    turned = pair_of([PAIR], "b", "a")
    assert turned == PairFigures("b", "a", 40, -0.1, Interval(-0.18, -0.02), 0.01, 0.02, "worse", 3, 7)
    assert turned.turned == PAIR == pair_of([PAIR], "a", "b")
    assert pair_of([PAIR], "a", "c") is None


def test_every_candidate_is_held_against_the_baseline_whichever_stands_first() -> None:
    comparison = Comparison((), (PAIR,))
    assert against(comparison, "b") == {"a": Against(0.1, Interval(0.02, 0.18), "better")}
    assert against(comparison, "a") == {"b": Against(-0.1, Interval(-0.18, -0.02), "worse")}


@pytest.mark.parametrize(
    ("value", "low", "high", "whole", "tenths"),
    [
        (-0.004, -0.004, 0.03, "+0 (0 to 3)", "−0.4 to 3.0"),
        (-0.0001, -0.0001, 0.0001, "+0 (0 to 0)", "0.0 to 0.0"),
        (0.051, -0.12, 0.222, "+5 (−12 to 22)", "−12.0 to 22.2"),
    ],
)
def test_what_rounds_to_nothing_has_no_minus(value: float, low: float, high: float, whole: str, tenths: str) -> None:
    assert figures.points(value, Interval(low, high)) == whole
    assert figures.ends(Interval(low, high)) == tenths
