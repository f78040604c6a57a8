"""Two candidates on the same examples: is one better, and how sure is that?"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ftvp_core.analysis.intervals import Floats, Ints, cluster_count
from ftvp_core.types import Interval, PairFigures, Verdict

ALPHA = 0.05


def mid_p_mcnemar(b: int, c: int) -> float:
    """Two-sided mid-p of McNemar's test from the discordant counts.

    Fagerland, Lydersen & Laake (2013, BMC Med. Res. Methodol. 13:91): twice the probability of fewer than
    min(b, c) plus half that of exactly so many, out of b + c fair coins.
    """
    n, k = b + c, min(b, c)
    if n == 0:
        return 1.0
    log_half = n * math.log(0.5)
    term = math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + log_half)
    tail = term / 2
    for at in range(k, 0, -1):
        term *= at / (n - at + 1)
        tail += term
        if term < tail * 1e-17:
            break
    return min(1.0, 2 * tail)


def paired_p(differences: Floats, clusters: Ints) -> float:
    """Two-sided p of no difference. Right-or-wrong pairs of their own: mid-p McNemar.

    For clusters, repeats or partial grades: McNemar's test for clustered pairs (Yang, Sun & Hardin 2010,
    Stat. Med. 29:136), the squared sum of the clusters' differences over the sum of their squares.
    """
    one_a_cluster = cluster_count(clusters) == len(differences)
    if one_a_cluster and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all()):
        return mid_p_mcnemar(int((differences > 0).sum()), int((differences < 0).sum()))
    sums = np.bincount(clusters, weights=differences)
    squares = float(sums @ sums)
    return math.erfc(abs(float(sums.sum())) / math.sqrt(2 * squares)) if squares else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979, Scand. J. Stat. 6:65), in the order given."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def verdict(difference: float, interval: Interval, p_adjusted: float, margin: float) -> Verdict:
    """Of `a` against `b`. Equivalent: the whole interval lies within the margin."""
    if p_adjusted < ALPHA and difference != 0:
        return "better" if difference > 0 else "worse"
    return "equivalent" if -margin < interval.low and interval.high < margin else "not decided"


def examples_to_decide(difference: float, n: int, discordant: float) -> int | None:
    """How many examples in all would show a difference of this size (80 % power, 5 %).

    None where it is 0, or where so many are there already: then it is the correction for many pairs that more
    examples would have to overcome, and this formula doesn't know it.

    Connor (1987), Biometrics 43:207; `discordant` is the share of examples on which the two differ.
    """
    if difference == 0 or discordant == 0:
        return None
    z_a, z_b = 1.959964, 0.841621
    needed = (z_a * math.sqrt(discordant) + z_b * math.sqrt(max(discordant - difference**2, 0))) ** 2 / difference**2
    return math.ceil(needed) if needed > n else None


def pair_of(pairs: Iterable[PairFigures], a: str, b: str) -> PairFigures | None:
    """The pair of two candidates as a − b, whichever way round it stands; None where there is none."""
    for pair in pairs:
        if (pair.a, pair.b) == (a, b):
            return pair
        if (pair.a, pair.b) == (b, a):
            return pair.turned
    return None
