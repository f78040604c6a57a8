"""Retrieval's figures against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from ftvp_core.analysis.intervals import wilson
from ftvp_core.analysis.retrieval import retrieval_figures, scores


@pytest.mark.parametrize(
    ("passages", "gold", "expected"),
    [
        (["a", "b", "c"], ["a"], (1, 1, 1, 1)),
        (["a", "b", "c"], ["c"], (1, 1, 1 / 3, 0.5)),
        (["a", "b", "c"], ["x"], (0, 0, 0, 0)),
        (["a", "b"], ["b", "x"], (1, 0.5, 0.5, (1 / np.log2(3)) / (1 + 1 / np.log2(3)))),
        (["p.md#2", "p.md#1"], ["p.md"], (1, 1, 1, 1)),  # a source counts once
        (["q.md#1", "p.md#1"], ["p.md#1"], (1, 1, 0.5, 1 / np.log2(3))),
    ],
)
def test_one_ranking(passages: list[str], gold: list[str], expected: tuple[float, ...]) -> None:
    assert scores(passages, gold) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_ndcg_is_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    relevant = random.integers(0, 2, size=8)
    relevant[0] = 1
    ranking = random.permutation(8)
    gold = [str(at) for at in range(8) if relevant[at]]
    expected = ndcg_score([relevant[ranking]], [np.arange(8, 0, -1)])
    assert scores([str(at) for at in ranking], gold)[3] == pytest.approx(expected)


def test_figures_are_over_examples_with_gold_and_clustered() -> None:
    scored = np.full((12, 4), np.nan)
    scored[:8] = np.repeat([[1, 1, 1, 1], [0, 0, 0, 0]], 4, axis=0)
    alone = retrieval_figures(scored, np.arange(12))
    assert alone is not None and alone.hit_at_k.value == 0.5
    assert alone.hit_at_k.interval == wilson(0.5, 8)
    clustered = retrieval_figures(scored, np.arange(12) // 4)
    assert clustered is not None and clustered.mrr.interval.low < alone.mrr.interval.low
    assert retrieval_figures(scored[8:], np.arange(4)) is None
