"""How a knowledge should be searched, from how well the offline embedder knows its words."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal

from ftvp_core.data.checks.language import language_of

Mode = Literal["dense", "lexical", "hybrid"]

#: Pieces that the embedder cuts a word into, on average, up to which it knows the language. XQuAD's passages: 1.25 in
#: English, 1.74 in German (95 % of single passages: English below 1.5, German above); Korean and Arabic have 6 and 7.
KNOWN = 1.5
#: Words that are looked at: enough that the average is right to a few hundredths.
WORDS = 5000
#: Words that tell the language.
LANGUAGE_WORDS = 300
#: How well the modes find the right passage first, by language: XQuAD's 240 passages and 1,190 questions in each.
MEASURED = {
    "en": "On English questions words and meaning together found the right passage first for 92 %, meaning alone for 81 %.",
    "de": "On German questions search by words found the right passage first for 91 %, by meaning for 58 %.",
}
#: Letters alone: figures, markup and code are cut up in every language.
_WORD = re.compile(r"[^\W\d_]{2,}")


def suggested_mode(texts: Iterable[str]) -> tuple[Mode, str]:
    """Words alone where the offline embedder doesn't know the language, else words and meaning together.

    With one sentence that says why. Its figures are XQuAD's (240 passages, 1,190 questions a language), and stand only
    where the knowledge is in a language that they were measured in.
    """
    from ftvp_core.candidates.embedders import word_pieces

    words = list(islice((word for text in texts for word in _WORD.findall(text)), WORDS))
    pieces = word_pieces(words) / len(words) if words else 0.0
    measured = MEASURED.get(language_of(" ".join(words[:LANGUAGE_WORDS])) or "")
    if pieces > KNOWN:
        why = f"The offline embedder cuts this knowledge's words into {pieces:.1f} pieces (English: 1.2), so it hardly knows them."
        return "lexical", f"{why} {measured or 'How well it finds passages in this language was not measured.'}"
    return (
        "hybrid",
        measured or "The offline embedder knows this knowledge's words, so they are searched by words and meaning.",
    )
