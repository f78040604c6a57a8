"""One set cut into parts, such as a training and an eval set, so that none knows the others' rows."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ftvp_core.data.checks.common import asked, labels_of
from ftvp_core.data.near import Forms, near_pairs
from ftvp_core.errors import UserError
from ftvp_core.types import Example, ExampleSet


def split(examples: ExampleSet, shares: Mapping[str, float], seed: int) -> Mapping[str, tuple[Example, ...]]:
    """The parts by name, each in the file's order; every row is in exactly one. Raises UserError for the shares.

    Rows of one group, and rows that nearly repeat each other, stay together. Such bundles are dealt out, the largest
    first and equal ones in a seeded order, each to the part that then lacks most of its labels (of free text: of its
    rows). So where bundles are single rows, a part holds less than one row more or fewer of a label than its share;
    a bundle larger than what a part lacks exceeds it, and a label of one row is in one part alone.
    scikit-learn's StratifiedGroupKFold makes equal folds only.
    """
    _refuse(shares)
    total = sum(shares.values())
    bundles = _bundles(examples.examples)
    random.Random(seed).shuffle(bundles)
    labelled = labels_of(examples) is not None
    labels = [_label(one) if labelled else "" for one in examples.examples]
    counts = Counter(labels)
    lacking = {part: {label: share / total * counts[label] for label in counts} for part, share in shares.items()}
    room = {part: share / total * len(labels) for part, share in shares.items()}
    placed: dict[str, list[int]] = {part: [] for part in shares}
    for bundle in sorted(bundles, key=len, reverse=True):
        needs = Counter(labels[at] for at in bundle)
        part = max(room, key=lambda name: (_lack(lacking[name], needs), room[name]))
        placed[part] += bundle
        room[part] -= len(bundle)
        for label, count in needs.items():
            lacking[part][label] -= count
    return {part: tuple(examples.examples[at] for at in sorted(rows)) for part, rows in placed.items()}


def _refuse(shares: Mapping[str, float]) -> None:
    for part, share in shares.items():
        if not 0 < share < float("inf"):
            raise UserError(f"split, part {part}", f"found the share {share}", "give it a positive number")
    if not shares:
        raise UserError("split", "found no parts", "name at least one with its share")


def _lack(lacking: Mapping[str, float], needs: Mapping[str, int]) -> float:
    """Rows of the bundle's labels that the part lacks: a mean over the bundle's rows."""
    return sum(lacking[label] * count for label, count in needs.items()) / sum(needs.values())


def _label(example: Example) -> str:
    return min(example.references, default="")


def _bundles(examples: Sequence[Example]) -> list[list[int]]:
    """Positions that must stay together, by union of groups and near pairs, in the file's order."""
    leader = list(range(len(examples)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    first: dict[str, int] = {}
    grouped = [(at, first.setdefault(one.group, at)) for at, one in enumerate(examples) if one.group is not None]
    for at, other in [*grouped, *near_pairs(Forms(map(asked, examples)))]:
        low, high = sorted((find(at), find(other)))
        leader[high] = low
    bundles: dict[int, list[int]] = defaultdict(list)
    for at in range(len(examples)):
        bundles[find(at)].append(at)
    return list(bundles.values())
