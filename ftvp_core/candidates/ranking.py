"""The best of many scored texts, and two kinds of scores made one."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]

#: What the scores by words count in a fusion; those by meaning count the rest. It is the weight that Bruch, Gai &
#: Ingber (2023, ACM TOIS 42:20, "TM2C2") take where nothing is known of a set, and it isn't fitted here; this way
#: of fusing was chosen among others with these sets in view, so that their p values confirm little. Found
#: first, against the better of the two parts (`python -m tests.bench.retrieval`): XQuAD English −0.1 points (p 0.91),
#: German −0.7 (0.37), Streamlit's documentation +3.3 (0.50), Snips +2.3 (0.04), BANKING77 +0.3 (0.48). Reciprocal rank
#: fusion (Cormack et al. 2009, 60 and 1) loses 16.7 points on German, where the offline embedder is weak: a rank
#: doesn't tell that all cosines are alike, a score does.
WORDS = 0.2
#: The least that BM25 and a cosine can be. The greatest is the best text's: what is asked decides it.
LEAST_BM25, LEAST_COSINE = 0.0, -1.0


class Index(Protocol):
    """Texts that can be searched."""

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        """For each text the positions of its k nearest, the nearest first; fewer where fewer are found."""
        ...


class ByWords(Protocol):
    def scores(self, text: str) -> Scores:
        """BM25 of each of the texts with this one."""
        ...


class ByMeaning(Protocol):
    def similar(self, texts: Sequence[str]) -> Iterator[Scores]:
        """For each text its cosine with each of the indexed ones."""
        ...


class HybridIndex:
    """Texts found by words and meaning together: a convex combination of both scores, each scaled to [0, 1]."""

    def __init__(self, words: ByWords, meaning: ByMeaning) -> None:
        self._words = words
        self._meaning = meaning

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        found = []
        for text, cosines in zip(texts, self._meaning.similar(texts), strict=True):
            by_words = scaled(self._words.scores(text), LEAST_BM25)
            fused = WORDS * by_words + (1 - WORDS) * scaled(cosines, LEAST_COSINE)
            found.append(best(fused, min(k, len(fused))))
        return found


def scaled(scores: Scores, least: float) -> Scores:
    """0 at the least that they can be, 1 at the greatest that there is; all 0 where nothing is above the least."""
    span = float(scores.max(initial=least)) - least
    return (scores - np.float32(least)) / np.float32(span) if span > 0 else np.zeros_like(scores)


def best(scored: NDArray[Any], k: int) -> list[int]:
    """The positions of the k highest, the highest first; of equals the first one."""
    if k == 0:
        return []
    highest = np.argpartition(-scored, k - 1)[:k]
    ordered: list[int] = highest[np.lexsort((highest, -scored[highest]))].tolist()
    return ordered
