"""Which languages and scripts the questions are in."""

import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache

from ftvp_core.data.checks.common import Checked, asked
from ftvp_core.types import ExampleSet, Finding

#: Rows that are looked at, seeded; letters below which a text could be of many languages.
SAMPLE, SEED, LEAST_LETTERS = 1_000, 0, 20
#: A language counts as part of a set with this share of the rows looked at, and as many rows.
SHARE, LEAST_ROWS = 0.05, 3
#: A row's script is named by the first word of its letters' Unicode names; these are written together.
_TOGETHER = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "HAN"}
#: Scripts of one common language each: no guess is needed, however short the text.
_OF_SCRIPT = {
    "HANGUL": "ko",
    "JAPANESE": "ja",
    "HAN": "zh",
    "THAI": "th",
    "GREEK": "el",
    "HEBREW": "he",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
}


def language_mix(checked: Checked) -> Iterator[Finding]:
    if checked.train_set is None and not checked.informing:  # the classifier takes half a second to load
        return
    mixes = {part: languages(examples) for part, examples in checked.parts()}
    mains = {part: max(mix, key=lambda name: mix[name]) for part, mix in mixes.items() if mix}
    if len(set(mains.values())) > 1:
        yield Finding(
            "language-mix", "warning", 0, (),
            f"The eval set is mostly {_said(mixes['eval'])}, the training set {_said(mixes['train'])}: what is learnt in one language may not carry over. Use rows of the language that users write.",
        )  # fmt: skip
    elif len(mixes["eval"]) > 1:
        yield Finding(
            "language-mix", "info", 0, (),
            f"The eval set is in several languages: {_said(mixes['eval'])}, of up to {SAMPLE:,} rows looked at. Read accuracy for each: a mean hides the weaker one.",
        )  # fmt: skip


def languages(examples: ExampleSet) -> dict[str, float]:
    """Shares of the languages (ISO 639 codes) among the rows of a seeded sample whose language can be told."""
    texts = [asked(example) for example in examples.examples]
    looked = random.Random(SEED).sample(texts, SAMPLE) if len(texts) > SAMPLE else texts
    counts = Counter(language for text in looked if (language := language_of(text)) is not None)
    told = counts.total()
    return {name: count / told for name, count in counts.most_common() if count >= max(LEAST_ROWS, SHARE * told)}


def language_of(text: str) -> str | None:
    """The language's code, by the script where that tells; None for a text too short to say."""
    letters = [char for char in text if char.isalpha()]
    script = _script(letters)
    if script in _OF_SCRIPT:
        return _OF_SCRIPT[script]
    if len(letters) < LEAST_LETTERS:
        return None
    from py3langid import classify

    return str(classify(text)[0])


def _script(letters: list[str]) -> str | None:
    """The script of most letters; Japanese where there is kana beside Han."""
    counts = Counter(_script_of(char) for char in letters)
    if counts["JAPANESE"] and counts["HAN"]:
        counts["JAPANESE"] += counts.pop("HAN")
    return counts.most_common(1)[0][0] if counts else None


@cache
def _script_of(char: str) -> str:
    name = unicodedata.name(char, "UNKNOWN").split(" ")[0]
    return _TOGETHER.get(name, name)


def _said(mix: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in mix.items())
