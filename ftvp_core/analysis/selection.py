"""What the best of several points is worth, when it was chosen on the same rows that measured it."""

import numpy as np

from ftvp_core.analysis.intervals import Floats, Ints
from ftvp_core.types import Interval, Measured

DRAWS = 1000


def corrected_best(grades: Floats, clusters: Ints, seed: int = 0) -> Measured | None:
    """The best point's accuracy without the luck of being chosen. `grades`: points × examples, nan where ungraded.

    The bootstrap bias correction of Tsamardinos, Greasidou & Borboudakis (2018, Machine Learning 107:1895): choose on
    a resample of the clusters, measure on those that it left out; the mean over many draws, with percentile interval.
    None where there is nothing to choose among.
    """
    if len(grades) < 2 or np.isnan(grades).all(axis=1).any():
        return None
    rng = np.random.default_rng(seed)
    _, cluster = np.unique(clusters, return_inverse=True)
    groups = int(cluster.max()) + 1
    there = ~np.isnan(grades)
    right, scored = (
        np.array([np.bincount(cluster, weights=row, minlength=groups) for row in rows])
        for rows in (np.where(there, grades, 0.0), there.astype(float))
    )
    found = []
    for _ in range(DRAWS):
        times = rng.multinomial(groups, np.full(groups, 1 / groups))
        left_out = (times == 0).astype(float)
        with np.errstate(invalid="ignore"):
            chosen = int(np.nan_to_num((right @ times) / (scored @ times)).argmax())
        measured = scored[chosen] @ left_out
        if measured:
            found.append((right[chosen] @ left_out) / measured)
    if not found:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return Measured(float(np.mean(found)), Interval(float(low), float(high)))
