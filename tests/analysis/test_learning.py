"""Learning curves with planted answers, and what choosing the best of several is worth."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from ftvp_core.analysis.learning import Trained, fit_learning_curve
from ftvp_core.analysis.selection import corrected_best

N = 2000
SIZES = (50, 125, 250, 500, 1000)


def planted(a: float, b: float, c: float, seeds: int = 3, sizes: tuple[int, ...] = SIZES) -> list[Trained]:
    """Right on exactly the share that the power law says; which rows are hard is the same at all sizes."""
    hard = np.random.default_rng(0).permutation(N)
    return [
        Trained(n, np.array([((hard + 37 * seed) % N < round(N * (a - b * n**-c))).astype(float) for seed in range(seeds)]))
        for n in sizes
    ]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "c"), [(0.95, 2.0, 0.5), (0.8, 3.0, 0.8), (0.99, 1.3, 0.25)])
def test_the_fit_is_scipys_and_finds_what_was_planted(a: float, b: float, c: float) -> None:
    fit = fit_learning_curve(planted(a, b, c), np.arange(N))
    accuracy = [round(N * (a - b * n**-c)) / N for n in SIZES]
    theirs, _ = curve_fit(
        lambda n, a, b, c: a - b * n**-c, SIZES, accuracy, p0=(0.9, 1, 0.5), bounds=([0, 0, 0.05], [1, 99, 2])
    )
    found = [point.value for point in fit.band if point.rows <= SIZES[-1]]
    rows = np.array([point.rows for point in fit.band if point.rows <= SIZES[-1]])
    assert found == pytest.approx(list(theirs[0] - theirs[1] * rows ** -theirs[2]), abs=0.004)
    assert fit.c == pytest.approx(c, abs=0.05)
    assert all(point.low <= point.value <= point.high for point in fit.band)
    assert fit.trainings == 3


def test_more_rows_for_two_points_is_what_the_planted_law_says() -> None:
    a, b, c = 0.99, 1.3, 0.25
    fit = fit_learning_curve(planted(a, b, c), np.arange(N))
    target = a - b * 1000**-c + 0.02
    needed = ((a - target) / b) ** (-1 / c) - 1000
    assert fit.verdict == "rises"
    assert fit.more_rows_low is not None and fit.more_rows_high is not None
    assert fit.more_rows_low < needed < fit.more_rows_high
    assert fit.more_rows == pytest.approx(needed, rel=0.25)


def test_a_curve_at_its_limit_has_flattened() -> None:
    fit = fit_learning_curve(planted(0.8, 40.0, 1.5), np.arange(N))
    assert fit.verdict == "flattened" and fit.more_rows is None
    assert fit.gain_of_twice is not None and fit.gain_of_twice.high < 0.02


def test_three_sizes_or_nothing_graded_are_too_few_points() -> None:
    assert fit_learning_curve(planted(0.9, 2, 0.5)[:3], np.arange(N)).verdict == "too few points"
    unanswered = [*planted(0.9, 2, 0.5)[:3], Trained(1000, np.full((3, N), np.nan))]
    assert fit_learning_curve(unanswered, np.arange(N)).verdict == "too few points"
    assert fit_learning_curve([], np.arange(0)).verdict == "too few points"


def test_few_eval_rows_and_clusters_leave_it_undecided() -> None:
    few = [Trained(one.rows, one.grades[:, :60]) for one in planted(0.95, 2.0, 0.5)]
    assert fit_learning_curve(few, np.arange(60)).verdict == "not decided"
    wide, narrow = (
        fit_learning_curve(planted(0.95, 2.0, 0.5), clusters).band[0]
        for clusters in (np.arange(N) // 100, np.arange(N))
    )
    assert wide.high - wide.low != narrow.high - narrow.low


def test_trainings_that_differ_widen_the_interval() -> None:
    same = planted(0.95, 2.0, 0.5, seeds=3)
    rng = np.random.default_rng(1)
    other = [
        Trained(one.rows, np.array([row * (rng.random(N) < share) for row, share in zip(one.grades, (1, 0.9, 0.8), strict=True)]))
        for one in same
    ]  # fmt: skip
    bands = [fit_learning_curve(sizes, np.arange(N)).band[-1] for sizes in (same, other)]
    assert bands[1].high - bands[1].low > 1.5 * (bands[0].high - bands[0].low)


def test_the_best_of_equals_is_worth_what_each_of_them_is() -> None:
    """Ten points that are right by chance alone: the best looks better, and its corrected figure doesn't."""
    naive, corrected = [], []
    for seed in range(20):
        grades = (np.random.default_rng(seed).random((10, 100)) < 0.5).astype(float)
        found = corrected_best(grades, np.arange(100))
        assert found is not None
        naive.append(grades.mean(axis=1).max())
        corrected.append(found.value)
    assert np.mean(naive) > 0.56
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.025)


def test_a_clear_winner_keeps_its_figure() -> None:
    grades = np.array([np.arange(200) < right for right in (60, 100, 180)]).astype(float)
    found = corrected_best(grades, np.arange(200))
    assert found is not None and found.value == pytest.approx(0.9, abs=0.005)
    assert corrected_best(grades[:1], np.arange(200)) is None
