"""How well passages were retrieved, apart from how well they were used."""

import math
from collections.abc import Sequence

import numpy as np

from ftvp_core.analysis.intervals import Floats, Ints, accuracy_interval
from ftvp_core.types import Diagnosis, Measured, RetrievalFigures

#: hit@k, recall@k, reciprocal rank, nDCG: the columns of a retrieval's scores.
MEASURES = 4

#: A grade from here on is right.
RIGHT = 0.5


def is_gold(passage: str, gold: Sequence[str]) -> bool:
    """Whether `gold` names this passage, by its id or its source: `page.md#3` is of `page.md`."""
    return passage in gold or passage.rpartition("#")[0] in gold


def diagnosis(passages: Sequence[str], gold: Sequence[str], grade: float) -> Diagnosis:
    """Of one answer: whether any gold passage stood in its prompt, and whether it is right."""
    retrieved = any(is_gold(passage, gold) for passage in passages)
    if retrieved:
        return "retrieved, answered right" if grade >= RIGHT else "retrieved, answered wrong"
    return "right without it" if grade >= RIGHT else "not retrieved"


def scores(passages: Sequence[str], gold: Sequence[str]) -> tuple[float, float, float, float]:
    """hit@k, recall@k, reciprocal rank and nDCG of one ranking, the best passage first.

    `gold` names passages by id, or all of a source's by the source: `page.md#3` is of `page.md`. A gold item counts
    once, at its first passage; relevance is 0 or 1 (Järvelin & Kekäläinen 2002, ACM TOIS 20:422, log2 discount).
    """
    left = set(gold)
    gains = []
    for passage in passages:
        matched = left & {passage, passage.rpartition("#")[0]}
        gains.append(float(bool(matched)))
        left -= matched
    found = len(set(gold)) - len(left)
    first = next((rank for rank, gain in enumerate(gains, 1) if gain), None)
    gained = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(set(gold)), len(gains)) + 1))
    return (
        float(first is not None),
        found / len(set(gold)),
        1 / first if first else 0.0,
        gained / best if best else 0.0,
    )


def retrieval_figures(scored: Floats, clusters: Ints) -> RetrievalFigures | None:
    """Means with intervals of `scored` (rows × MEASURES, nan where nothing was retrieved); None of nothing.

    Recall, reciprocal rank and nDCG are no proportions; Wilson's interval is wider than theirs need be, never
    narrower: a variable in [0, 1] varies at most as much as a right-or-wrong one of the same mean.
    """
    there = ~np.isnan(scored[:, 0])
    if not there.any():
        return None
    columns = [scored[there, at] for at in range(MEASURES)]
    return RetrievalFigures(
        *(Measured(float(column.mean()), accuracy_interval(column, clusters[there])) for column in columns)
    )
