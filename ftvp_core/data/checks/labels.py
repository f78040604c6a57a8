"""Labels that are one label in several spellings."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

from ftvp_core.data.checks.common import Checked, finding, folded, rows_of, shown
from ftvp_core.data.near import form
from ftvp_core.types import Finding

#: Letters below which a changed letter makes another word, and from which two may be a slip.
LEAST_LETTERS, TWO_SLIPS = 5, 12
#: A slip is rare: the right spelling stands so many times as often.
SLIP_RARITY = 5
#: More labels aren't compared letter by letter: each pair is.
MOST_LABELS = 3_000


def label_spelling(checked: Checked) -> Iterator[Finding]:
    for part, examples in checked.parts():
        other = spellings(checked.labels[part])
        odd = {*other, *other.values()}
        rows = [row for row, example in rows_of(examples) if odd and odd.intersection(example.references)]
        some = "; ".join(f"{shown(odd)} for {shown(right)}" for odd, right in sorted(other.items())[:3])
        more = f" and {len(other) - 3:,} more" if len(other) > 3 else ""
        harm = "an exact grader counts one as wrong" if part == "eval" else "a model learns both"
        yield from finding(
            "label-spelling", "warning", rows,
            f"Labels that differ in spelling alone ({some}{more}), on {{n}} rows: {harm}. Use one spelling.",
            part,
        )  # fmt: skip


def spellings(counts: Counter[str]) -> Mapping[str, str]:
    """Each odd spelling of a label with the most frequent one, by the rows of each."""
    same: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for label, _ in counts.most_common():
        same[_key(label)].append(label)
    right = {odd: names[0] for names in same.values() for odd in names[1:]}
    heads = {key: names[0] for key, names in same.items()}
    weights = {key: sum(counts[name] for name in names) for key, names in same.items()}
    for rare, frequent in _slips(weights):
        right |= dict.fromkeys(same[rare], heads[frequent])
    return right


def _key(label: str) -> tuple[str, ...]:
    """Equal for labels that differ by case, white space or punctuation; not by digits or signs such as < and +."""
    numbers, _, units = form(label).partition("\0")
    letters = units.replace(" ", "")
    if len(letters) < 3:  # "A-" and "A" are two grades
        return (folded(label),)
    return (numbers, letters, "".join(char for char in label if unicodedata.category(char) == "Sm"))


def _slips(weights: Mapping[tuple[str, ...], int]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs (rare, frequent) a letter apart, or two in a long label; the same first letter, so not `un-` or `a-`."""
    # A label with a number is a code, or holds one: each of its letters counts.
    words = [key for key in weights if len(key) > 1 and not key[0] and len(key[1]) >= LEAST_LETTERS]
    if not 1 < len(words) <= MOST_LABELS:
        return
    from rapidfuzz.distance import OSA

    for a, b in combinations(words, 2):
        rare, frequent = sorted((a, b), key=lambda key: weights[key])
        if weights[rare] * SLIP_RARITY > weights[frequent] or (a[0], a[2], a[1][0]) != (b[0], b[2], b[1][0]):
            continue
        room = 2 if min(len(a[1]), len(b[1])) >= TWO_SLIPS else 1
        if OSA.distance(a[1], b[1], score_cutoff=room) <= room:
            yield rare, frequent
