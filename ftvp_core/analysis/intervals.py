"""95 % intervals of proportions and of paired differences, and quantiles."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftvp_core.types import Interval, Quantiles

Z = 1.959963984540054  # the normal's 97.5 % quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def wilson(mean: float, n: float) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209). `n` may be an effective size."""
    centre = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * (mean * (1 - mean) / n + Z**2 / (4 * n**2)) ** 0.5
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def cluster_count(clusters: Ints) -> int:
    """How many different clusters rows have. numpy's `unique` loads its masked arrays first: 7 ms."""
    return int(np.count_nonzero(np.bincount(clusters)))


def accuracy_interval(grades: Floats, clusters: Ints) -> Interval:
    """The interval of a mean grade, rows of one cluster (a passage, or one example's repeats) not independent.

    Wilson's at the effective size n ÷ design effect, where the design effect is the clustered variance of the
    mean over the binomial one (Kish 1965; Dean & Pagano 2015, J. Surv. Stat. Methodol. 3:484). With clusters
    of one row this is Wilson's own interval.
    """
    n, mean = len(grades), float(grades.mean())
    groups = cluster_count(clusters)
    if groups == n:
        return wilson(mean, n)
    binomial = mean * (1 - mean) / n
    if binomial == 0 or groups == 1:
        return wilson(mean, groups)
    residuals = np.bincount(clusters, weights=grades - mean)
    clustered = groups / (groups - 1) * float(residuals @ residuals) / n**2
    return wilson(mean, min(n, n * binomial / clustered) if clustered else n)


def difference_interval(differences: Floats, clusters: Ints) -> Interval:
    """The interval of the mean of paired differences (values in [-1, 1]).

    Bonett & Price's adjusted Wald interval (2012, J. Educ. Behav. Stat. 37:479), recommended by Fagerland,
    Lydersen & Laake (2014, Stat. Med. 33:2850): one more discordant pair on either side. For clusters the
    variance is the clustered one. Differences of partial grades, or of means over repeats, count by their squares.
    """
    n = len(differences)
    b, c = float(np.maximum(differences, 0).sum()), float(np.maximum(-differences, 0).sum())
    p_b, p_c = (b + 1) / (n + 2), (c + 1) / (n + 2)
    centre = p_b - p_c
    variance = ((float(differences @ differences) + 2) / (n + 2) - centre**2) / (n + 2)
    groups = cluster_count(clusters)
    if 1 < groups < n:
        residuals = np.bincount(clusters, weights=differences - differences.mean())
        variance = max(variance, groups / (groups - 1) * float(residuals @ residuals) / n**2)
    half = Z * variance**0.5
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def ratio_interval(a: Floats, b: Floats, clusters: Ints) -> Interval | None:
    """The interval of mean(a) ÷ mean(b), paired grades in [0, 1]; None where `b` is 0 throughout.

    Bonett & Price's hybrid Wilson score interval (2006, Stat. Med. 25:3039), recommended by Fagerland, Lydersen & Laake
    (2014, Stat. Med. 33:2850). For clusters the counts are of the effective size: theirs over the design effect of
    a − ratio × b.
    """
    right_a, right_b = float(a.sum()), float(b.sum())
    if right_b == 0:
        return None
    scale = _effective_share(a - right_a / right_b * b, clusters)
    right_a, right_b = scale * right_a, scale * right_b
    only_a, only_b = (scale * float(np.maximum(one, 0).sum()) for one in (a - b, b - a))
    n = right_b + only_a
    spread = ((only_a + only_b + 2) / ((right_a + 1) * (right_b + 1))) ** 0.5
    alone = sum(((1 - (right + 1) / (n + 2)) / (right + 1)) ** 0.5 for right in (right_a, right_b))
    z = Z * spread / alone

    def bounds(right: float) -> tuple[float, float]:
        half = z * (z**2 + 4 * right * (1 - right / n)) ** 0.5
        return (2 * right + z**2 - half) / (2 * (n + z**2)), (2 * right + z**2 + half) / (2 * (n + z**2))

    (low_a, high_a), (low_b, high_b) = bounds(right_a), bounds(right_b)
    return Interval(low_a / high_b, high_a / low_b)


def _effective_share(residuals: Floats, clusters: Ints) -> float:
    """One over the design effect of residuals that sum to 0, at most 1 (Kish 1965)."""
    groups = cluster_count(clusters)
    if groups == len(residuals):
        return 1.0
    if groups == 1:
        return 1 / len(residuals)
    sums = np.bincount(clusters, weights=residuals)
    clustered = groups / (groups - 1) * float(sums @ sums)
    return min(1.0, float(residuals @ residuals) / clustered) if clustered else groups / len(residuals)


def quantiles(values: Sequence[float] | Floats) -> Quantiles | None:
    """p50, p95 and p99, linear between order statistics (Hyndman & Fan's type 7); None of nothing."""
    if len(values) == 0:
        return None
    p50, p95, p99 = np.quantile(np.asarray(values, dtype=np.float64), [0.5, 0.95, 0.99])
    return Quantiles(float(p50), float(p95), float(p99))
