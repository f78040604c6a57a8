"""Charts as pure functions: what is drawn, what isn't, and whether it can be told apart."""

from dataclasses import replace
from decimal import Decimal
from typing import get_args

import pytest

from ftvp_core.report.relations import frontier
from ftvp_core.types import CandidateFigures, Comparison, Interval, Method, Quantiles, Tokens
from ui import charts

ONE = CandidateFigures(
    name="one", method="prompt", model=None, n=100, n_scored=100, n_failed=0, n_ungraded=0, accuracy=0.7,
    interval=Interval(0.6, 0.8), latency_s=Quantiles(0.2, 0.4, 0.5), ttft_s=None, tokens=Tokens(None, None, None),
    attempts=100, other_attempts=0, attempts_cost_unknown=0, cost_usd=Decimal("0.04"),
    cost_per_1k_usd=Decimal("0.4"), training_cost_usd=None,
)  # fmt: skip
BACKGROUNDS = ("#ffffff", "#11161a")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [shade for shades in charts.HUES.values() for shade in shades])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_keep_three_to_one_in_both_themes(colour: str, background: str) -> None:
    high, low = sorted((luminance(colour), luminance(background)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3


def test_every_method_has_a_hue() -> None:
    assert set(charts.HUES) == set(get_args(Method))


def test_a_candidate_looks_the_same_whatever_else_changes() -> None:
    several = Comparison(
        tuple(replace(ONE, name=name, accuracy=accuracy) for name, accuracy in (("a", 0.2), ("b", 0.9))), ()
    )
    before = charts.looks(several.candidates)
    turned = replace(
        several, candidates=tuple(replace(one, accuracy=1 - (one.accuracy or 0)) for one in several.candidates)
    )
    assert charts.looks(turned.candidates) == before
    assert before["a"] != before["b"]


def test_accuracy_draws_the_interval() -> None:
    bars = charts.accuracy(Comparison((ONE,), ())).figure.data[0].error_x
    assert bars.array[0] == pytest.approx(10)
    assert bars.arrayminus[0] == pytest.approx(10)


def test_latency_marks_the_report_quantiles_on_a_curve_that_ends_at_all() -> None:
    figure = charts.latency(Comparison((ONE,), ()), {"one": [0.1, 0.2, 0.3, 0.4]}).figure
    curve, marks = figure.data
    assert (curve.x[-1], curve.y[-1]) == (0.4, 100)
    assert list(marks.x) == [0.2, 0.4]
    assert list(marks.y) == [50, 95]


def test_an_unknown_cost_has_no_bar_and_no_point() -> None:
    both = Comparison((ONE, replace(ONE, name="free?", cost_per_1k_usd=None)), ())
    drawn = charts.cost(both)
    bars = [trace for trace in drawn.figure.data if trace.type == "bar"]
    assert [list(bar.y) for bar in bars] == [["one"]]
    assert "free? unknown" in drawn.alt
    assert "Not drawn, cost or accuracy unknown: free?" in charts.accuracy_against_cost(both).alt


def test_the_frontier_leaves_out_what_is_dearer_and_no_better() -> None:
    names = {"cheap": (0.1, "0.1"), "dear": (0.9, "2"), "between": (0.5, "0.5"), "beaten": (0.4, "1")}
    several = [
        replace(ONE, name=name, accuracy=right, cost_per_1k_usd=Decimal(usd)) for name, (right, usd) in names.items()
    ]
    assert [one.name for one in frontier(Comparison(tuple(several), ()))] == ["cheap", "between", "dear"]


def test_without_any_figure_a_sentence_stands_in_place_of_axes() -> None:
    blank = Comparison((replace(ONE, latency_s=None, cost_per_1k_usd=None),), ())
    for drawn in (charts.latency(blank, {}), charts.accuracy_against_cost(blank)):
        assert not drawn.figure.data
        assert drawn.figure.layout.annotations[0].text.startswith("No ")
