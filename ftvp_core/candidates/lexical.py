"""Texts found again by their words: BM25, with every script cut into what its questions and passages share.

No dictionary and no model: a word is itself and, where it is long, its pieces of four letters, so that a part of a
German compound or an Arabic word behind its article is found; Hangul, Han, Kana and Thai are pairs of characters, so
that 카드를 and 카드가 share 카드 (Lucene's CJKBigramFilter does the same). Kiwi, which knows Korean morphemes, takes
2 s and 500 MB to load: too much for what pairs do nearly as well.
"""

import re
import unicodedata
from array import array
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ftvp_core.candidates.ranking import best

#: Lucene's and Elasticsearch's defaults.
K1, B = 1.2, 0.75
#: Texts that are counted at once; weights that are computed at once.
BLOCK, STEP = 2_000, 1 << 20
#: Letters of a piece of a long word (McNamee & Mayfield 2004, Information Retrieval 7:73: four for European languages).
PIECE = 4

#: Scripts whose words aren't told apart by spaces, or carry their particles: Thai, Kana, Han, Hangul.
_PAIRED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3"
#: Signs that stand in words and that `\w` leaves out: Latin's and Indic scripts' marks.
_MARKS = "\u0300-\u036f\u0900-\u0963\u0966-\u0dff"
_RUN = re.compile(rf"[{_PAIRED}]+|[^\W_{_PAIRED}](?:[^\W_{_PAIRED}]|[{_MARKS}])*")
_IS_PAIRED = re.compile(rf"[{_PAIRED}]")
#: Arabic without its vowel signs and tatweel, one form of alef, yeh and teh marbuta (Lucene's ArabicNormalizer).
_ARABIC = {
    **dict.fromkeys([0x0640, 0x0670, *range(0x0610, 0x061B), *range(0x064B, 0x0660), *range(0x06D6, 0x06EE)]),
    **dict.fromkeys(map(ord, "أإآ"), "ا"),
    ord("ى"): "ي",
    ord("ة"): "ه",
}


def tokens(text: str) -> list[str]:
    """What a text is found by. Case, width and Arabic vowel signs make no difference."""
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold().translate(_ARABIC)):
        if _IS_PAIRED.match(run):
            found += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
            if len(run) == 2:
                found.append(run[0])  # a noun of one syllable with its particle
        else:
            found.append(run)
            if len(run) > PIECE:
                found += [run[at : at + PIECE] for at in range(len(run) - PIECE + 1)]
    return found


class LexicalIndex:
    """BM25 over the texts, as Lucene counts it (Kamphuis et al. 2020, ECIR: all variants are as good). A text that shares nothing with the question isn't found, however few others are."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers: dict[str, int] = {}
        self._n = len(texts)
        self._weights = self._weighted(texts)

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        found = []
        for text in texts:
            scored = self.scores(text)
            found.append(best(scored, min(k, int(np.count_nonzero(scored)))))
        return found

    def scores(self, text: str) -> NDArray[np.float32]:
        """How well each of the texts fits this one; 0 where they share nothing."""
        of_token, texts_of, weights = self._weights.indptr, self._weights.indices, self._weights.data
        scored = np.zeros(self._n, dtype=np.float32)
        for token in tokens(text):
            if (number := self._numbers.get(token)) is not None:
                part = slice(of_token[number], of_token[number + 1])
                scored[texts_of[part]] += weights[part]
        return scored

    def _weighted(self, texts: Sequence[str]) -> Any:
        """Every text's weight for every token that it has, token by token (a CSC matrix).

        Counted block by block, and what was counted waits on the disk: of 100,000 passages of 256 tokens some 60 million
        tokens would stand side by side, and the counts beside their own copy in another order.
        """
        lengths = np.zeros(len(texts), dtype=np.float32)
        frequency = np.zeros(0, dtype=np.int64)
        with TemporaryFile() as counted:
            for start in range(0, len(texts), BLOCK):
                block = self._counted(texts[start : start + BLOCK], lengths[start : start + BLOCK])
                more = np.bincount(block.indices, minlength=len(self._numbers))
                more[: len(frequency)] += frequency
                frequency = more
                for part in (block.data, block.indices, block.indptr):
                    np.save(counted, part)
            counted.seek(0)
            matrix = _by_token(counted, self._n, frequency)
        rarity = np.log1p((self._n - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
        for start in range(0, matrix.nnz, STEP):
            part = slice(start, start + STEP)
            matrix.data[part] /= matrix.data[part] + norm[matrix.indices[part]]
        for number, weight in enumerate(rarity):
            matrix.data[matrix.indptr[number] : matrix.indptr[number + 1]] *= weight
        return matrix

    def _counted(self, texts: Sequence[str], lengths: NDArray[np.float32]) -> Any:
        """How often each text has each token known by now (a CSR matrix); fills in how many each has."""
        from scipy.sparse import csr_array

        ids = [
            array("i", [self._numbers.setdefault(token, len(self._numbers)) for token in tokens(text)])
            for text in texts
        ]
        sizes = np.array([len(one) for one in ids], dtype=np.int32)
        lengths[:] = sizes
        flat = np.concatenate([np.frombuffer(one, dtype=np.int32) for one in ids])
        starts = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(sizes, dtype=np.int32)])
        counts = csr_array((np.ones(len(flat), dtype=np.float32), flat, starts), (len(ids), len(self._numbers)))
        counts.sum_duplicates()
        return counts


def _by_token(counted: IO[bytes], n: int, frequency: NDArray[np.int64]) -> Any:
    """The blocks of counts one below the other, token by token, read one at a time."""
    from scipy.sparse import csc_array, csr_array

    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(frequency)])
    free = starts[:-1].copy()
    places, counts = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.float32)
    for start in range(0, n, BLOCK):
        parts = np.load(counted), np.load(counted), np.load(counted)
        block = csr_array(parts, (min(BLOCK, n - start), len(frequency))).tocsc()
        sizes = np.diff(block.indptr)
        into = np.repeat(free - block.indptr[:-1], sizes) + np.arange(block.nnz)
        places[into], counts[into] = block.indices + start, block.data
        free += sizes
    return csc_array((counts, places, starts), (n, len(frequency)))
