"""Intervals and quantiles against outside oracles: statsmodels, a published table, simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from ftvp_core.analysis.intervals import accuracy_interval, difference_interval, quantiles, ratio_interval, wilson


@pytest.mark.parametrize("n", [1, 2, 7, 20, 96, 400, 3080])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.8, 1.0])
def test_wilson_is_statsmodels(n: int, share: float) -> None:
    right = round(share * n)
    low, high = proportion_confint(right, n, method="wilson")
    ours = wilson(right / n, n)
    assert [ours.low, ours.high] == pytest.approx([low, high], abs=1e-12)


def test_rows_of_their_own_give_wilson() -> None:
    grades = np.array([1.0] * 30 + [0.0] * 10)
    assert accuracy_interval(grades, np.arange(40)) == wilson(0.75, 40)


def test_agreeing_rows_of_one_passage_count_as_fewer() -> None:
    """Each of 20 passages all right or all wrong on its 5 questions: as sure as 20 answers, not 100."""
    grades = np.repeat(np.array([1.0] * 15 + [0.0] * 5), 5)
    clusters = np.repeat(np.arange(20), 5)
    interval = accuracy_interval(grades, clusters)
    twenty, hundred = wilson(0.75, 20), wilson(0.75, 100)
    width = interval.high - interval.low
    assert width > 1.9 * (hundred.high - hundred.low)
    assert width == pytest.approx(twenty.high - twenty.low, rel=0.06)


def test_bonett_and_price_on_the_published_table() -> None:
    """Fagerland, Lydersen & Laake (2014), airway hyper-responsiveness: 1, 1, 7, 12 gives −0.508 to −0.013."""
    differences = np.array([0.0] + [1.0] + [-1.0] * 7 + [0.0] * 12)
    interval = difference_interval(differences, np.arange(21))
    assert (round(interval.low, 3), round(interval.high, 3)) == (-0.508, -0.013)


def ratio_of(both: int, only_a: int, only_b: int, neither: int, times: int = 1) -> tuple[float, float] | None:
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [both, only_a, only_b, neither])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [both, only_a, only_b, neither])
    found = ratio_interval(np.repeat(a, times), np.repeat(b, times), np.repeat(np.arange(len(a)), times))
    return (round(found.low, 4), round(found.high, 4)) if found else None


def test_the_ratio_s_interval_is_that_of_the_published_table() -> None:
    """Cavo et al. (2012): 59, 6, 16, 80 gives 0.8667 (0.7579 to 0.9910) in contingencytables, the book's own package."""
    assert ratio_of(59, 6, 16, 80) == (0.7579, 0.9910)


def test_a_ratio_of_clusters_is_as_sure_as_they_are_many() -> None:
    once, often = ratio_of(59, 6, 16, 80), ratio_of(59, 6, 16, 80, times=5)
    assert once is not None and often == pytest.approx(once, abs=0.002)


def test_a_ratio_says_no_more_than_the_examples_do() -> None:
    assert ratio_of(0, 3, 0, 5) is None
    low, high = ratio_of(20, 0, 0, 0) or (0, 0)
    assert low < 0.95 and high > 1.05, "twenty right answers of twenty are no proof of equality"
    low, high = ratio_of(0, 0, 20, 0) or (1, 0)
    assert low == 0 and 0.05 < high < 0.4


@pytest.mark.parametrize("clustered", [False, True])
def test_the_difference_interval_covers_the_truth_95_times_in_100(clustered: bool) -> None:
    """True difference 0.1. Clustered: pairs of rows share their outcome, so that plain intervals would fail."""
    random = np.random.default_rng(0)
    n, times, covered = 80, 2000, 0
    for _ in range(times):
        drawn = random.choice([1.0, -1.0, 0.0], size=n, p=[0.25, 0.15, 0.6])
        differences = np.repeat(drawn, 2) if clustered else drawn
        clusters = np.repeat(np.arange(n), 2) if clustered else np.arange(n)
        interval = difference_interval(differences, clusters)
        covered += interval.low <= 0.1 <= interval.high
    assert 0.93 <= covered / times <= 0.975


def test_quantiles_are_numpys_and_nothing_has_none() -> None:
    values = np.random.default_rng(1).exponential(size=357)
    found = quantiles(values)
    assert found is not None
    assert (found.p50, found.p95, found.p99) == tuple(np.percentile(values, [50, 95, 99]))
    assert quantiles([]) is None


def test_repeats_are_clustered_by_example_as_statsmodels_has_it() -> None:
    """The effective size is of the cluster-robust variance of a mean (OLS on a constant, clusters as groups)."""
    random = np.random.default_rng(2)
    able = random.beta(2, 1, size=120)
    grades = (random.random((120, 5)) < able[:, None]).astype(float).ravel()
    clusters = np.repeat(np.arange(120), 5)
    fitted = sm.OLS(grades, np.ones(600)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    mean = float(fitted.params[0])
    ours, theirs = accuracy_interval(grades, clusters), wilson(mean, mean * (1 - mean) / fitted.bse[0] ** 2)
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=1e-12)


def test_a_difference_of_means_over_repeats_is_as_wide_as_statsmodels_has_it() -> None:
    random = np.random.default_rng(3)
    differences = random.choice([-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1], size=2000)
    low, high = DescrStatsW(differences).zconfint_mean()
    ours = difference_interval(differences, np.arange(2000))
    assert [ours.low, ours.high] == pytest.approx([low, high], abs=0.002)
