"""Would more training rows help? A power law through the accuracies at several sizes, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftvp_core.analysis.intervals import Floats, Ints, Z
from ftvp_core.types import FitBand, Interval, LearningFit

#: Three parameters and one more: fewer sizes fit any curve.
FEWEST_SIZES = 4
#: What the page speaks of: so many points more.
STEP = 0.02
#: No sentence and no line reaches beyond so many times the most rows that were tried.
FARTHEST = 10.0
#: Exponents tried. Measured ones lie between 0.07 and 1 (Hestness et al. 2017, arXiv:1712.00409; Viering & Loog
#: 2023, IEEE TPAMI 45:7799).
EXPONENTS = np.geomspace(0.05, 2.0, 200)
DRAWS = 400
BAND_POINTS = 40


@dataclass(frozen=True, slots=True)
class Trained:
    """One training, or all of one number of rows: `grades` by training (seed) and example, nan where ungraded."""

    rows: float
    grades: Floats


def fit_learning_curve(sizes: Sequence[Trained], clusters: Ints, seed: int = 0) -> LearningFit:
    """accuracy(n) = a − b·n^(−c), weighted by each size's variance, with percentile bootstrap intervals.

    Each draw resamples the eval set's clusters, the same ones for all sizes, and at each size the trainings where
    there are several. With one training a size the spread between trainings isn't in the intervals.
    """
    kept = sorted((one for one in sizes if not np.isnan(one.grades).all()), key=lambda one: one.rows)
    n = np.array([one.rows for one in kept])
    if len(np.unique(n)) < FEWEST_SIZES:
        return LearningFit("too few points", trainings=min((len(one.grades) for one in kept), default=0))
    accuracy, draws = _means(kept, clusters, seed)
    # Agresti and Coull's variance (1998): no size is sure beyond its rows because all of them happened to be right.
    examples = np.array([(~np.isnan(one.grades)).any(axis=0).sum() for one in kept])
    weights = 1 / (draws.var(axis=0) + 0.25 / (examples + 4) ** 2)
    far = FARTHEST * n[-1]
    grid = np.geomspace(n[0], far, BAND_POINTS)
    fitted = _fit(n, accuracy[None, :], weights)
    drawn = _fit(n, draws, weights)
    low, high = np.quantile(_at(drawn, grid), [0.025, 0.975], axis=0)
    more, more_low, more_high = _rows_for_step(fitted, drawn, float(n[-1]), far)
    gain = _at(drawn, np.array([2 * n[-1]]))[:, 0] - _at(drawn, n[-1:])[:, 0]
    a, b, c = (float(each[0]) for each in fitted)
    missed = np.abs(accuracy - _at(fitted, n)[0])
    unexplained = missed[missed > Z / np.sqrt(weights)]
    fits = not len(unexplained)  # a leap, or luck of single trainings, is no power law: nothing follows from one
    flat = fits and float(np.quantile(gain, 0.975)) < STEP
    rises = fits and more is not None and more_high is not None
    return LearningFit(
        verdict="flattened" if flat else "rises" if rises else "not decided",
        trainings=min(len(one.grades) for one in kept),
        a=a,
        b=b,
        c=c,
        more_rows=None if flat else more,
        more_rows_low=None if flat else more_low,
        more_rows_high=None if flat else more_high,
        gain_of_twice=Interval(*(float(end) for end in np.quantile(gain, [0.025, 0.975]))),
        off=float(unexplained.max()) if len(unexplained) else None,
        band=tuple(
            FitBand(*(float(each) for each in point))
            for point in zip(grid, _at(fitted, grid)[0], low, high, strict=True)
        ),
    )


def _means(sizes: Sequence[Trained], clusters: Ints, seed: int) -> tuple[Floats, Floats]:
    """Each size's accuracy, and bootstrap draws of it: draws × sizes."""
    rng = np.random.default_rng(seed)
    _, cluster = np.unique(clusters, return_inverse=True)
    groups = int(cluster.max()) + 1
    right, scored = [], []
    for one in sizes:
        there = ~np.isnan(one.grades)
        filled = np.where(there, one.grades, 0.0)
        right.append(np.array([np.bincount(cluster, weights=row, minlength=groups) for row in filled]))
        scored.append(np.array([np.bincount(cluster, weights=row, minlength=groups) for row in there.astype(float)]))
    accuracy = np.array([hits.sum() / all_.sum() for hits, all_ in zip(right, scored, strict=True)])
    draws = np.empty((DRAWS, len(sizes)))
    for at in range(DRAWS):
        times = rng.multinomial(groups, np.full(groups, 1 / groups)).astype(float)
        for place, (hits, all_) in enumerate(zip(right, scored, strict=True)):
            chosen = rng.integers(0, len(hits), len(hits)) if len(hits) > 1 else slice(None)
            graded = (all_[chosen] @ times).sum()
            draws[at, place] = (hits[chosen] @ times).sum() / graded if graded else accuracy[place]
    return accuracy, draws


def _fit(n: Floats, accuracy: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """a, b, c of each row of `accuracy`: for each exponent the best line in n^(−c), then the best exponent.

    Separable least squares (Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413), with 0 ≤ a ≤ 1 and b ≥ 0: more rows
    never hurt the fitted curve, and no limit is beyond all right.
    """
    x = n[None, :] ** -EXPONENTS[:, None]  # exponents × sizes
    share = weights / weights.sum()
    x_mean, y_mean = x @ share, accuracy @ share
    spread = ((x - x_mean[:, None]) ** 2) @ share
    together = (accuracy - y_mean[:, None]) @ (share[:, None] * (x - x_mean[:, None]).T)  # rows × exponents
    b = np.maximum(-together / spread, 0.0)
    a = y_mean[:, None] + b * x_mean
    # Where the limit would pass 1 it is 1, and b the best line through it.
    through = np.maximum(((1 - accuracy) * share) @ x.T / ((x**2) @ share), 0.0)
    a, b = np.where(a > 1, 1.0, a), np.where(a > 1, through, b)
    missed = accuracy[:, None, :] - (a[:, :, None] - b[:, :, None] * x[None, :, :])
    best = (missed**2 @ share).argmin(axis=1)
    at = np.arange(len(accuracy))
    return a[at, best], b[at, best], EXPONENTS[best]


def _at(fitted: tuple[Floats, Floats, Floats], n: Floats) -> Floats:
    a, b, c = (each[:, None] for each in fitted)
    curve: Floats = a - b * n[None, :] ** -c
    return curve


def _rows_for_step(
    fitted: tuple[Floats, Floats, Floats], drawn: tuple[Floats, Floats, Floats], now: float, far: float
) -> tuple[float | None, float | None, float | None]:
    """How many more rows bring STEP, and its interval's ends: None for what lies beyond `far`, or never comes."""

    def needed(a: Floats, b: Floats, c: Floats) -> Floats:
        left = b * now**-c - STEP  # how far below its limit the curve has to come
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = np.where((left > 0) & (b > 0), (left / b) ** (-1 / c), np.inf)
        more: Floats = rows - now
        return more

    low, high = np.quantile(needed(*drawn), [0.025, 0.975], method="inverted_cdf")
    ends = (float(needed(*fitted)[0]), float(low), float(high))
    one, two, three = (end if end <= far - now else None for end in ends)
    return one, two, three
