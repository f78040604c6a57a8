"""Paired tests against outside oracles: a published p, scipy's binomial, statsmodels' Holm, simulation."""

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.multitest import multipletests

from ftvp_core.analysis.paired import examples_to_decide, holm, mid_p_mcnemar, paired_p, verdict
from ftvp_core.types import Interval


def test_mid_p_on_the_published_table() -> None:
    """Fagerland, Lydersen & Laake (2013): 1 against 7 discordant pairs gives 0.039."""
    assert mid_p_mcnemar(1, 7) == pytest.approx(0.0390625)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 3), (5, 2), (40, 61), (1000, 1100), (30_000, 30_400)])
def test_mid_p_is_the_binomials(b: int, c: int) -> None:
    n, k = b + c, min(b, c)
    expected = min(1.0, 2 * (binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5) / 2)) if n else 1.0
    assert mid_p_mcnemar(b, c) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed: int) -> None:
    p_values = np.random.default_rng(seed).uniform(0, 0.2, size=9).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_no_difference_is_found_five_times_in_a_hundred() -> None:
    random = np.random.default_rng(2)
    found = sum(
        paired_p(random.choice([1.0, -1.0, 0.0], size=120, p=[0.15, 0.15, 0.7]), np.arange(120)) < 0.05
        for _ in range(3000)
    )
    assert 0.03 <= found / 3000 <= 0.06


def test_a_row_counted_twice_is_no_more_evidence() -> None:
    differences = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 40)
    once = paired_p(differences, np.arange(59))
    twice = paired_p(np.repeat(differences, 2), np.repeat(np.arange(59), 2))
    naive = paired_p(np.repeat(differences, 2), np.arange(118))
    assert naive < once
    assert twice == pytest.approx(once, rel=0.35)


@pytest.mark.parametrize(
    ("difference", "interval", "p_adjusted", "said"),
    [
        (0.10, Interval(0.02, 0.18), 0.01, "better"),
        (-0.10, Interval(-0.18, -0.02), 0.01, "worse"),
        (0.10, Interval(0.02, 0.18), 0.06, "not decided"),  # alone it would be; of many pairs it isn't
        (0.00, Interval(-0.01, 0.01), 1.0, "equivalent"),
        (0.00, Interval(-0.03, 0.03), 1.0, "not decided"),
        (0.01, Interval(0.005, 0.015), 0.001, "better"),
    ],
)
def test_verdicts(difference: float, interval: Interval, p_adjusted: float, said: str) -> None:
    assert verdict(difference, interval, p_adjusted, margin=0.02) == said


def test_so_many_examples_show_the_difference_four_times_in_five() -> None:
    needed = examples_to_decide(0.08, 50, 0.24)
    assert needed is not None
    random = np.random.default_rng(3)
    found = sum(
        paired_p(random.choice([1.0, -1.0, 0.0], size=needed, p=[0.16, 0.08, 0.76]), np.arange(needed)) < 0.05
        for _ in range(1500)
    )
    assert 0.77 <= found / 1500 <= 0.84


def test_nothing_is_promised_where_there_is_no_difference_or_enough_examples() -> None:
    assert examples_to_decide(0.0, 50, 0.24) is None
    assert examples_to_decide(0.5, 1000, 0.6) is None
