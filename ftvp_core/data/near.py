"""Near duplicates: the same text but for case, punctuation, white space or about one word in a sentence.

Candidates share a key, and each is then compared exactly. A short text's keys are the text itself and the text
without each of its words (without each one or two characters in a row where words aren't spaced): no pair that
differs by one word is missed. MinHash misses none either when it is made to find short texts with a word dropped,
but brings 30 candidates a row of 10,000, and so 3,000 of a million (`tests/bench/near_duplicates.py`). A long text's
keys are bands of a MinHash over its character 5-grams, which one word in twenty hardly moves.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from zlib import crc32

#: Texts with fewer units aren't near unless all their units are equal: a word of three changes what is asked.
LEAST_UNITS = 4
#: From here on any word may be another one; below, only a misspelt or inflected one.
SENTENCE = 12
#: One unit in so many may differ; of a shorter text, one.
UNITS_PER_CHANGE = 20
#: Up to here the keys are the text without each word; from there on MinHash bands. Texts between have both, so that
#: two whose lengths straddle the limit share a kind.
LONG_FROM, SHORT_UP_TO = 36, 40
#: Longer texts are near only if all their units are equal: comparing them takes seconds each.
MOST_UNITS = 20_000
SHINGLE, BANDS, ROWS_PER_BAND = 5, 16, 8
#: A row is compared with this many rows of one key, and has this many partners, at most: bounds time and memory.
MOST_COMPARED, MOST_PARTNERS = 50, 5

#: Their coming or going turns the question round (with apostrophes left out, as units are).
NEGATIONS = frozenset((
    "no", "not", "non", "never", "none", "without", "cannot", "cant", "dont", "wont", "isnt", "arent", "wasnt", "werent",
    "didnt", "doesnt", "hasnt", "havent", "hadnt", "couldnt", "wouldnt", "shouldnt", "nicht", "kein", "keine", "keinen",
    "keinem", "keiner", "nie", "niemals", "ohne", "안", "못", "없이", "없는", "아닌", "아니", "لا", "لم", "لن", "ليس", "ليست",
    "غير", "بدون", "دون", "不", "没", "沒", "無", "无", "非", "未", "別", "别",
))  # fmt: skip
#: Scripts whose words aren't spaced: each character is a unit. Thai and Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    (0x0E01, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip
#: Numbers, the signs between two of them, a sign before one, and currencies: with these another question is asked.
_NUMBERS = re.compile(r"(?:(?<!\S)[-−])?\d+(?:\s*[-+*/÷×^=<>−]\s*(?=\d))?|[$€£¥₩₹%]")


class _Units(dict[int, str | None]):
    """`str.translate`'s table: what parts units becomes a space, what is no part of one is left out."""

    def __missing__(self, code: int) -> str | None:
        self[code] = _as_units(code)
        return self[code]


def _as_units(code: int) -> str | None:
    char = chr(code)
    category = unicodedata.category(char)
    if char in "'’ʼ`ـ" or (category == "Mn" and "ARABIC" in unicodedata.name(char, "")):
        return None  # apostrophes, tatweel, harakat
    if any(low <= code <= high for low, high in _UNSPACED):
        return f" {char}" if category[0] == "L" else char if category[0] == "M" else " "
    return char if category[0] in "LNM" or char in "+#" else " "


_UNITS = _Units()


def form(text: str) -> str:
    """What is compared: the text's numbers, a null character, and its units, separated by spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    numbers = "" if plain.isalpha() else " ".join("".join(one.split()) for one in _NUMBERS.findall(plain))
    return f"{numbers}\0{' '.join(plain.translate(_UNITS).split())}"


def is_near(a: str, b: str) -> bool:
    """Whether two forms are of nearly the same text."""
    from rapidfuzz.distance import Levenshtein

    numbers, _, body = a.partition("\0")
    others, _, body_b = b.partition("\0")
    if numbers != others or not body or not body_b:
        return False
    if body == body_b:
        return True
    units, units_b = body.split(" "), body_b.split(" ")
    width, most = max(_width(units), _width(units_b)), max(len(units), len(units_b))
    room = max(width, most // UNITS_PER_CHANGE)
    if not LEAST_UNITS * width <= most <= MOST_UNITS or Levenshtein.distance(units, units_b, score_cutoff=room) > room:
        return False
    edits = Levenshtein.editops(units, units_b)
    replaced = [(units[edit.src_pos], units_b[edit.dest_pos]) for edit in edits if edit.tag == "replace"]
    return all(_same_word(*pair) or (most >= SENTENCE * width and _long(pair, width)) for pair in replaced)


def turned_round(text: str, other: str) -> bool:
    """Whether one of two near texts denies what the other says: a `not` has come or gone."""
    counts = [sum(unit in NEGATIONS for unit in form(one).partition("\0")[2].split(" ")) for one in (text, other)]
    return counts[0] != counts[1]


def near_pairs(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Positions (later, earlier) of near or equal texts: each row with up to 5 earlier ones, sorted."""
    forms = [form(text) for text in texts]
    first: dict[str, int] = {}
    found = [(at, first[one]) for at, one in enumerate(forms) if first.setdefault(one, at) != at and one[-1] != "\0"]
    distinct = sorted(first.values())
    partners: dict[int, set[int]] = {}
    for bucket in _buckets([forms[at] for at in distinct]):
        rows = [distinct[at] for at in bucket]
        for nth, row in enumerate(rows[1:], start=1):
            known = partners.setdefault(row, set())
            for other in rows[max(0, nth - MOST_COMPARED) : nth] if len(known) < MOST_PARTNERS else ():
                if len(known) < MOST_PARTNERS and other not in known and is_near(forms[row], forms[other]):
                    known.add(other)
    return sorted(found + [(row, other) for row, others in partners.items() for other in others])


def near_pairs_between(texts: Sequence[str], others: Sequence[str], most: int = MOST_PARTNERS) -> list[tuple[int, int]]:
    """Positions (text, other) of near or equal texts of two sets: each text with up to `most` others, sorted.

    Only the keys of `texts` are held, so that `others` may be many.
    """
    rows_of: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows_of.setdefault(form(text), []).append(row)
    forms_of: dict[int, list[str]] = {}
    for one in rows_of:
        for key in _keys(one):
            forms_of.setdefault(key, []).append(one)
    partners: dict[str, list[int]] = {}
    for at, text in enumerate(others):
        other = form(text)
        for one in {one for key in _keys(other) for one in _last_unpaired(forms_of.get(key), partners, most)}:
            if is_near(one, other):
                partners.setdefault(one, []).append(at)
    return sorted((row, at) for one, found in partners.items() for row in rows_of[one] for at in found)


def _last_unpaired(bucket: list[str] | None, partners: Mapping[str, Sequence[int]], most: int) -> Sequence[str]:
    """The forms to compare; those that have their partners leave the bucket and make room for the ones before."""
    if bucket is None:
        return ()
    bucket[-MOST_COMPARED:] = [one for one in bucket[-MOST_COMPARED:] if len(partners.get(one, ())) < most]
    return bucket[-MOST_COMPARED:]


def _buckets(forms: Sequence[str]) -> Iterator[list[int]]:
    """Rows that share a key, in order. The keys are sorted as numbers: a dict of a million rows' would be gigabytes."""
    import numpy as np

    keys, rows = array("I"), array("I")
    for row, one in enumerate(forms):
        of_row = _keys(one)
        keys.extend(of_row)
        rows.extend([row] * len(of_row))
    keys_, rows_ = np.array(keys, np.uint32), np.array(rows, np.uint32)
    order = np.argsort(keys_, kind="stable")
    sorted_keys = keys_[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_keys[1:] != sorted_keys[:-1], [True])))
    several = np.flatnonzero(np.diff(starts) > 1)
    for at in several:
        yield [int(row) for row in rows_[order[starts[at] : starts[at + 1]]]]


def _keys(one: str) -> list[int]:
    """Numbers stand in every key: rows of one template with a number each never meet."""
    _, _, body = one.partition("\0")
    units, whole = body.split(" "), one.encode()
    keys = {crc32(whole)} if body else set()
    width = _width(units)
    if (LEAST_UNITS - 1) * width <= len(units) <= SHORT_UP_TO * width:
        ends = list(accumulate((len(unit.encode()) + 1 for unit in units), initial=len(whole) - len(body.encode())))
        for size in range(1, width + 1):
            spans = zip(ends, ends[size:], strict=False)  # the text without each; no space is left at its end
            keys.update(
                crc32(whole[:start] + whole[end:] if end <= len(whole) else whole[: start - 1]) for start, end in spans
            )
    if LONG_FROM * width <= len(units) <= MOST_UNITS:
        keys.update(_bands(one))
    return sorted(keys)


def _bands(one: str) -> Iterator[int]:
    from rensa import RMinHash

    numbers, _, body = one.partition("\0")
    minhash = RMinHash(num_perm=BANDS * ROWS_PER_BAND, seed=0)
    minhash.update([body[at : at + SHINGLE] for at in range(len(body) - SHINGLE + 1)])
    hashes = memoryview(array("Q", minhash.digest())).cast("B")
    size = len(hashes) // BANDS
    for band in range(BANDS):
        yield crc32(hashes[band * size : (band + 1) * size], crc32(f"{numbers} {band}".encode()))


def _width(units: Sequence[str]) -> int:
    """Units that about one word takes: two characters where words aren't spaced."""
    if all(map(str.isascii, units)):
        return 1
    unspaced = sum(any(low <= ord(unit[0]) <= high for low, high in _UNSPACED) for unit in units if unit)
    return 2 if 2 * unspaced > len(units) else 1


def _same_word(a: str, b: str) -> bool:
    """Misspelt or inflected: the same beginning and a letter in four at most; of Korean, another particle."""
    from rapidfuzz.distance import Levenshtein

    room = min(len(a), len(b)) // 4
    if "가" <= a[0] <= "힣" and a[:2] == b[:2]:
        room = max(room, 1)
    return a[0] == b[0] and Levenshtein.distance(a, b) <= room


def _long(pair: tuple[str, str], width: int) -> bool:
    """Not a letter for another, as in plan A and plan B."""
    return width > 1 or min(map(len, pair)) > 1
