"""Whether there are enough rows, alone and of each label, and what they can show."""

import math
from collections import Counter
from collections.abc import Iterator
from statistics import median

from ftvp_core.data.checks.common import Checked, finding, rows_of, shown
from ftvp_core.types import Finding

#: Below these, an eval set says little, and a training set teaches its own rows by heart.
FEW_EXAMPLES, OVERFITS = 50, 10
#: Rows that make a good training set, and one for a big task.
GOOD, BIG = 500, 10_000
RARE_LABEL = 5
#: One label on so large a share of the rows makes a constant answer look good.
ONE_SIDED = 0.8


def detectable_difference(n: int, disagree: float = 0.2) -> float:
    """The smallest paired difference that n examples show with 80 % power at 5 %, two-sided.

    `disagree` is the share of examples on which exactly one of the two is right; it is at least the difference.
    Connor (1987), Biometrics 43:207, solved for the difference: n d² = (z_a √p + z_b √(p − d²))².
    """
    z_a, z_b = 1.959964, 0.841621
    difference = math.sqrt(disagree / n) * (z_a + z_b)
    for _ in range(60):
        share = max(disagree, min(difference, 1.0))
        inner = max(share - min(difference, 1.0) ** 2, 0.0)
        difference = (z_a * math.sqrt(share) + z_b * math.sqrt(inner)) / math.sqrt(n)
    return min(difference, 1.0)


def difference_finding(n: int) -> Finding:
    """What n examples can show: always said, also of rows that have no mapping yet."""
    points = 100 * detectable_difference(n) if n else 100.0
    return Finding(
        "detectable-difference", "info", n, (),
        f"{n:,} rows can't see less than about {points:.3g} points: of a smaller difference between two candidates they mostly decide nothing (80 % power at 5 %, if just one of the two is right on a fifth of the rows).",
    )  # fmt: skip


def detectable(checked: Checked) -> Iterator[Finding]:
    yield difference_finding(len(checked.eval_set.examples))


def too_few(checked: Checked) -> Iterator[Finding]:
    n = len(checked.eval_set.examples)
    if n < FEW_EXAMPLES:
        yield Finding(
            "too-few", "warning", n, (),
            f"{n} examples: under {FEW_EXAMPLES} only very large differences show. 50–100 are a start, 500–1,000 are good.",
        )  # fmt: skip
    trained = len(checked.train_set.examples) if checked.train_set else FEW_EXAMPLES
    if trained < FEW_EXAMPLES:
        says = "a model tuned on them learns them by heart" if trained < OVERFITS else "a start at best for tuning"
        yield Finding(
            "too-few", "error" if trained < OVERFITS else "warning", trained, (),
            f"{trained} training rows: {says}. 50–100 are a start, 500–1,000 are good; as shots for a prompt a few are enough.",
            "train",
        )  # fmt: skip


def train_size(checked: Checked) -> Iterator[Finding]:
    """Where a training set of 50 rows or more stands."""
    n = len(checked.train_set.examples) if checked.train_set else 0
    if checked.train_set is None or n < FEW_EXAMPLES:
        return
    stands = "a start" if n < GOOD else "a good size" if n < BIG else "enough for a big task"
    per_label = _per_label(checked.labels["train"])
    yield Finding(
        "train-size", "info", n, (),
        f"{n:,} training rows are {stands}{per_label} (50–100 are a start, 500–1,000 good, 10,000 and more are for big tasks).",
        "train",
    )  # fmt: skip


def label_rare(checked: Checked) -> Iterator[Finding]:
    for part, examples in checked.parts():
        counts = checked.labels[part]
        rare = {label for label, count in counts.items() if count < RARE_LABEL}
        rows = [row for row, example in rows_of(examples) if rare and rare.intersection(example.references)]
        harm = "nothing can be said about each alone" if part == "eval" else "too few to learn each from"
        these = "label has" if len(rare) == 1 else "labels have"
        yield from finding(
            "label-rare", "info", rows, f"{len(rare):,} {these} fewer than {RARE_LABEL} rows: {harm}.", part
        )


def label_imbalance(checked: Checked) -> Iterator[Finding]:
    for part, examples in checked.parts():
        counts = checked.labels[part]
        label, count = counts.most_common(1)[0] if len(counts) > 1 else ("", 0)
        share = count / max(1, len(examples.examples))
        if share < ONE_SIDED:
            continue
        harm = (
            f"always answering it is right on {100 * share:.0f} %: read accuracy against that, and per label"
            if part == "eval"
            else "a model learns to answer it always: add rows of the others"
        )
        rows = [row for row, example in rows_of(examples) if label not in example.references]
        yield from finding(
            "label-imbalance", "info", rows,
            f"Label {shown(label)} holds {count:,} of {len(examples.examples):,} rows; {harm}. Rows of other labels: {{n}}.",
            part,
        )  # fmt: skip


def _per_label(counts: Counter[str]) -> str:
    if not counts:
        return ""
    return f", {min(counts.values()):,} to {max(counts.values()):,} for each of {len(counts):,} labels, {median(counts.values()):,.0f} in the middle"
