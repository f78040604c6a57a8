"""How much a candidate's answers change when it is asked again: what sampling alone does to its accuracy."""

import numpy as np

from ftvp_core.analysis.intervals import Floats, Ints
from ftvp_core.types import Spread


def spread(grades: Floats, example: Ints) -> Spread | None:
    """Over the repeats of a run. None where each example is asked once, or nothing is scored.

    `grades`: nan where there is none; `example`: the position of each one's example, an example's repeats side by
    side and in order. Agreement is Fleiss' observed one (1971, Psychol. Bull. 76:378): of two answers to one example,
    how often they have the same grade.
    """
    repeats = int(np.bincount(example).max(initial=0))
    if repeats < 2 or np.isnan(grades).all():
        return None
    table = grades.reshape(-1, repeats)
    accuracies = [float(column[~np.isnan(column)].mean()) for column in table.T if not np.isnan(column).all()]
    agreements = [_agreement(row[~np.isnan(row)]) for row in table if (~np.isnan(row)).sum() > 1]
    return Spread(
        accuracies=tuple(accuracies),
        min=min(accuracies),
        max=max(accuracies),
        sd=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        agreement=float(np.mean(agreements)) if agreements else None,
        flipped=float(np.mean([one < 1 for one in agreements])) if agreements else None,
    )


def _agreement(grades: Floats) -> float:
    """Of all pairs of these answers, the share with equal grades."""
    counts = np.unique(grades, return_counts=True)[1]
    n = len(grades)
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))
