"""Texts found again by their words: BM25, with every script cut into what its questions and passages share.

No dictionary and no model: a word is itself and, where it is long, its pieces of four letters, so that a part of a
German compound or an Arabic word behind its article is found; Hangul, Han, Kana and Thai are pairs of characters, so
that 카드를 and 카드가 share 카드 (Lucene's CJKBigramFilter does the same). Kiwi, which knows Korean morphemes, takes
2 s and 500 MB to load: too much for what pairs do nearly as well.
"""

import logging
import re
import unicodedata
from array import array
from collections.abc import Sequence

import numpy as np

from ftvp_core.candidates.ranking import best

#: Lucene's and Elasticsearch's defaults.
K1, B = 1.2, 0.75
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
    """BM25 over the texts. A text that shares nothing with the question isn't found, however few others are."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG for itself, on everybody's screen
        self._numbers: dict[str, int] = {"": 0}
        # Numbers, not strings: 100,000 passages of 256 tokens are some 60 million of them.
        ids = [
            array("i", [self._numbers.setdefault(token, len(self._numbers)) for token in tokens(text)] or [0])
            for text in texts
        ]
        self._bm25 = bm25s.BM25(k1=K1, b=B)
        self._bm25.index((ids, self._numbers), show_progress=False)

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        found = []
        for text in texts:
            known = [number for token in tokens(text) if (number := self._numbers.get(token)) is not None]
            scored = self._bm25.get_scores_from_ids(known)
            found.append(best(scored, min(k, int(np.count_nonzero(scored)))))
        return found
