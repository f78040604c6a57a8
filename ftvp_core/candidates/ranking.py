"""The best of many scored texts, and two rankings made one."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: How far down a ranking still counts in a fusion.
DEPTH = 100
#: Reciprocal rank fusion's constant, and how many times a rank by words counts as much as one by meaning.
#: Cormack, Clarke & Büttcher (2009, SIGIR 758) fuse rankings of like quality: 60 and 1. The offline embedder knows
#: words, not sentences, and few of most languages: with 60 and 1 a fusion finds XQuAD's passage first significantly less
#: often than words alone (English −2.5 points, German −16.7), with 10 and 8 it doesn't (+0.2, −0.6). These were chosen
#: there and don't hold everywhere: for BANKING77's short questions, asked for one of the same label, meaning alone is
#: better by 6.4 points, so nearest shots are searched by meaning (tests/bench/retrieval.py).
LIKE, OFFLINE = (60.0, 1.0), (10.0, 8.0)


class Index(Protocol):
    """Texts that can be searched."""

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        """For each text the positions of its k nearest, the nearest first; fewer where fewer are found."""
        ...


class HybridIndex:
    """Two rankings fused by reciprocal rank: a text's share is weight ÷ (constant + its rank) in each."""

    def __init__(self, lexical: Index, dense: Index, constant: float, lexical_weight: float) -> None:
        self._parts = ((lexical, lexical_weight), (dense, 1.0))
        self._constant = constant

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        depth = max(k, DEPTH)
        ranked = [part.query(texts, depth) for part, _ in self._parts]
        return [self._fused(rankings)[:k] for rankings in zip(*ranked, strict=True)]

    def _fused(self, rankings: Sequence[Sequence[int]]) -> list[int]:
        share: dict[int, float] = {}
        for ranking, (_, weight) in zip(rankings, self._parts, strict=True):
            for rank, at in enumerate(ranking, start=1):
                share[at] = share.get(at, 0.0) + weight / (self._constant + rank)
        return sorted(share, key=lambda at: (-share[at], at))


def best(scored: NDArray[Any], k: int) -> list[int]:
    """The positions of the k highest, the highest first; of equals the first one."""
    if k == 0:
        return []
    highest = np.argpartition(-scored, k - 1)[:k]
    ordered: list[int] = highest[np.lexsort((highest, -scored[highest]))].tolist()
    return ordered
