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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = tuple[NDArray[np.uint32], NDArray[np.uint32]]

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
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
#: Numbers, the signs between two of them, a sign before one, and currencies: with these another question is asked.
#: Each begins with a character of its own, so that a search jumps over the others: half the time.
_NUMBER = r"\d+(?:\s*[-+*/÷×^=<>−]\s*(?=\d))?"
_NUMBERS = re.compile(rf"{_NUMBER}|[-−](?<!\S[-−]){_NUMBER}|[$€£¥₩₹%]")
#: What each of them holds; most texts have none, which this tells sooner.
_NUMERIC = re.compile(r"[\d$€£¥₩₹%]")


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
    if _UNSPACED.match(char):
        return f" {char}" if category[0] == "L" else char if category[0] == "M" else " "
    return char if category[0] in "LNM" or char in "+#" else " "


_UNITS = _Units()
#: The same for ASCII alone, as `bytes.translate` takes it: several times as fast on short texts.
_ASCII_UNITS = bytes(ord(_UNITS[code] or "\0") for code in range(128)).ljust(256)
_ASCII_LEFT_OUT = bytes(code for code in range(128) if _UNITS[code] is None)


def form(text: str) -> str:
    """What is compared: the text's numbers, a null character, and its units, separated by spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    numbers = " ".join("".join(one.split()) for one in _NUMBERS.findall(plain)) if _NUMERIC.search(plain) else ""
    if plain.isascii():
        units = plain.encode().translate(_ASCII_UNITS, _ASCII_LEFT_OUT).decode()
    else:
        units = plain.translate(_UNITS)
    return f"{numbers}\0{' '.join(units.split())}"


class Forms:
    """Texts in the form that is compared, with the keys by which near ones meet: made once for every comparison."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.of_texts = [form(text) for text in texts]
        self.first: dict[str, int] = {}  # where each form stands first, in order
        for at, one in enumerate(self.of_texts):
            self.first.setdefault(one, at)

    @cached_property
    def within(self) -> "Keys":
        """The keys of the forms that may be near another one here. Near ones have equal numbers, so whose numbers no
        other form has is none of them: in most sets with numbers in their texts, nearly all.
        """
        return _sorted(self._of_forms(alone=False))

    @cached_property
    def keys(self) -> "Keys":
        """The keys of all forms."""
        import numpy as np

        within, alone = self.within, _sorted(self._of_forms(alone=True))
        keys, places = (np.concatenate(both) for both in zip(within, alone, strict=True))
        order = np.lexsort((places, keys))
        return keys[order], places[order]

    def _of_forms(self, *, alone: bool) -> Iterator[tuple[str, int]]:
        """The forms whose numbers no other one has, or else those whose numbers several have; and where each stands."""
        counts = Counter(_numbers(one) for one in self.first)
        return ((one, at) for one, at in self.first.items() if (counts[_numbers(one)] == 1) is alone)


def _numbers(one: str) -> str:
    return one.partition("\0")[0]


def _sorted(forms: Iterable[tuple[str, int]]) -> "Keys":
    """The keys of forms, sorted, and beside each where its form stands: a dict would be many times as large."""
    import numpy as np

    keys, places = array("I"), array("I")
    for one, at in forms:
        of_one = _keys(one)
        keys.extend(of_one)
        places.extend([at] * len(of_one))
    both = np.array(keys, np.uint64)
    both <<= np.uint64(32)
    both |= np.frombuffer(places, np.uint32) if places else 0
    both.sort()
    return (both >> np.uint64(32)).astype(np.uint32), both.astype(np.uint32)  # the upper and the lower half


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
    width, most = max(_width(body), _width(body_b)), max(len(units), len(units_b))
    room = max(width, most // UNITS_PER_CHANGE)
    if not LEAST_UNITS * width <= most <= MOST_UNITS:
        return False
    distance = Levenshtein.distance(units, units_b, score_cutoff=room)
    if distance > room or distance == abs(len(units) - len(units_b)):  # if so many came or went, none is replaced
        return distance <= room
    edits = Levenshtein.editops(units, units_b)
    replaced = [(units[edit.src_pos], units_b[edit.dest_pos]) for edit in edits if edit.tag == "replace"]
    return all(_same_word(*pair) or (most >= SENTENCE * width and _long(pair, width)) for pair in replaced)


def turned_round(a: str, b: str) -> bool:
    """Whether of two near forms one denies what the other says: a `not` has come or gone."""
    counts = [sum(unit in NEGATIONS for unit in one.partition("\0")[2].split(" ")) for one in (a, b)]
    return counts[0] != counts[1]


def near_pairs(texts: Forms) -> list[tuple[int, int]]:
    """Positions (later, earlier) of near or equal texts: each row with up to 5 earlier ones, sorted."""
    forms = texts.of_texts
    found = [(at, texts.first[one]) for at, one in enumerate(forms) if texts.first[one] != at and one[-1] != "\0"]
    partners: dict[int, set[int]] = {}
    for rows in _buckets(texts):
        for nth, row in enumerate(rows[1:], start=1):
            known = partners.setdefault(row, set())
            for other in rows[max(0, nth - MOST_COMPARED) : nth] if len(known) < MOST_PARTNERS else ():
                if len(known) < MOST_PARTNERS and other not in known and is_near(forms[row], forms[other]):
                    known.add(other)
    return sorted(found + [(row, other) for row, others in partners.items() for other in others])


def near_pairs_between(texts: Forms, others: Forms, most: int = MOST_PARTNERS) -> list[tuple[int, int]]:
    """Positions (text, other) of near or equal texts of two sets: each text with up to `most` others, sorted."""
    forms_of: dict[int, list[str]] = defaultdict(list)
    for key, at in _shared(texts, others):
        forms_of[key].append(texts.of_texts[at])
    keys_of: dict[int, list[int]] = defaultdict(list)
    for key, at in _shared(others, texts):
        keys_of[at].append(key)
    partners: dict[str, list[int]] = {}
    for at, other in enumerate(others.of_texts):
        keys = keys_of.get(others.first[other], ())
        for one in {one for key in keys for one in _last_unpaired(forms_of[key], partners, most)}:
            if is_near(one, other):
                partners.setdefault(one, []).append(at)
    return [(at, other) for at, one in enumerate(texts.of_texts) for other in partners.get(one, ())]


def _shared(texts: Forms, others: Forms) -> Iterator[tuple[int, int]]:
    """The texts' keys that stand among the others' too, each with its form's place."""
    import numpy as np

    keys, places = texts.keys
    shared = np.isin(keys, others.keys[0])
    return zip(keys[shared].tolist(), places[shared].tolist(), strict=True)


def _last_unpaired(bucket: list[str], partners: Mapping[str, Sequence[int]], most: int) -> Sequence[str]:
    """The forms to compare; those that have their partners leave the bucket and make room for the ones before."""
    bucket[-MOST_COMPARED:] = [one for one in bucket[-MOST_COMPARED:] if len(partners.get(one, ())) < most]
    return bucket[-MOST_COMPARED:]


def _buckets(texts: Forms) -> Iterator[list[int]]:
    """First places of the forms that share a key, in order."""
    import numpy as np

    keys, places = texts.within
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1], [True])))
    several = np.diff(starts) > 1
    for start, end in zip(starts[:-1][several].tolist(), starts[1:][several].tolist(), strict=True):
        yield places[start:end].tolist()


def _keys(one: str) -> set[int]:
    """Numbers stand in every key: rows of one template with a number each never meet."""
    _, _, body = one.partition("\0")
    whole, count, width = one.encode(), body.count(" ") + 1, _width(body)
    keys = {crc32(whole)} if body else set()
    if (LEAST_UNITS - 1) * width <= count <= SHORT_UP_TO * width:
        starts = [whole.index(0) + 1]
        while start := whole.find(b" ", starts[-1]) + 1:
            starts.append(start)
        for size in range(1, width + 1):  # the text without each; no space is left at its end
            keys.update([crc32(whole[:at] + whole[end:]) for at, end in zip(starts, starts[size:], strict=False)])
            keys.add(crc32(whole[: starts[-size] - 1]))
    if LONG_FROM * width <= count <= MOST_UNITS:
        keys.update(_bands(one))
    return keys


def _bands(one: str) -> Iterator[int]:
    from rensa import RMinHash

    numbers, _, body = one.partition("\0")
    minhash = RMinHash(num_perm=BANDS * ROWS_PER_BAND, seed=0)
    minhash.update([body[at : at + SHINGLE] for at in range(len(body) - SHINGLE + 1)])
    hashes = memoryview(array("Q", minhash.digest())).cast("B")
    size = len(hashes) // BANDS
    for band in range(BANDS):
        yield crc32(hashes[band * size : (band + 1) * size], crc32(f"{numbers} {band}".encode()))


def _width(body: str) -> int:
    """Units that about one word takes: two characters where words aren't spaced."""
    if body.isascii() or not _UNSPACED.search(body):
        return 1
    units = body.split(" ")
    return 2 if 2 * sum(_UNSPACED.match(unit) is not None for unit in units) > len(units) else 1


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
