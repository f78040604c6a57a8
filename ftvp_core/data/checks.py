"""Checks of an eval set, alone and against a training set, before a cent is spent on it."""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from ftvp_core.types import Example, ExampleSet, Finding

#: Below these, an eval set says little and a training set teaches its own rows by heart.
FEW_EXAMPLES = 50
RARE_LABEL = 5
#: More distinct references than this share of the rows: free text, not labels.
LABEL_SHARE = 0.5

Check = Callable[[ExampleSet, ExampleSet | None], Finding | None]


def folded(text: str) -> str:
    """The form in which two texts count as the same: NFC, lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def check(eval_set: ExampleSet, train_set: ExampleSet | None = None) -> tuple[Finding, ...]:
    """Every finding, the gravest first."""
    found = [finding for one in CHECKS if (finding := one(eval_set, train_set))]
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def leaked_rows(eval_set: ExampleSet, train_set: ExampleSet) -> tuple[int, ...]:
    """Rows of the eval set (from 1) whose input stands in the training set too."""
    trained = {folded(example.input) for example in train_set.examples}
    return tuple(row for row, example in _rows(eval_set) if folded(example.input) in trained)


def without_leaks(train_set: ExampleSet, eval_set: ExampleSet) -> tuple[Example, ...]:
    """The training rows whose input isn't an eval row's: what may be shown to a model or train it."""
    asked = {folded(example.input) for example in eval_set.examples}
    return tuple(example for example in train_set.examples if folded(example.input) not in asked)


def labels_of(examples: ExampleSet) -> tuple[str, ...] | None:
    """The distinct references, sorted, where they are labels; None for free text."""
    references = [reference for example in examples.examples for reference in example.references]
    distinct = sorted(set(references))
    return tuple(distinct) if references and len(distinct) <= max(2, LABEL_SHARE * len(references)) else None


def detectable_difference(n: int, disagree: float = 0.2) -> float:
    """The smallest paired difference that n examples show with 80 % power at 5 %, two-sided.

    `disagree` is the share of examples on which exactly one of the two is right. Connor (1987),
    Biometrics 43:207, solved for the difference: n d² = (z_a √p + z_b √(p − d²))².
    """
    z_a, z_b = 1.959964, 0.841621
    difference = math.sqrt(disagree / n) * (z_a + z_b)
    for _ in range(20):
        inner = max(disagree - difference**2, 0.0)
        difference = (z_a * math.sqrt(disagree) + z_b * math.sqrt(inner)) / math.sqrt(n)
    return min(difference, 1.0)


def _rows(examples: ExampleSet) -> Iterator[tuple[int, Example]]:
    return enumerate(examples.examples, start=1)


def _leak_exact(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    rows = leaked_rows(eval_set, train_set) if train_set else ()
    return _finding(
        "leak-exact", "error", rows,
        "Eval rows that stand in the training set too: {n}. Whatever trains on them or shows them knows the answers. Leave them out of one of the two.",
    )  # fmt: skip


def _duplicate_exact(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    first: dict[tuple[str, ...], int] = {}
    rows = [row for row, one in _rows(eval_set) if first.setdefault((folded(one.input), *one.references), row) != row]
    return _finding(
        "duplicate-exact", "warning", rows,
        "Rows that repeat an earlier one: {n}. They count twice and make intervals too narrow. Keep one of each.",
    )  # fmt: skip


def _contradiction(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    answers: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for example in eval_set.examples:
        if example.references:
            answers[folded(example.input)].add(example.references)
    rows = [row for row, example in _rows(eval_set) if len(answers[folded(example.input)]) > 1]
    return _finding(
        "contradiction", "warning", rows,
        "Rows that ask the same and expect different answers: {n}. No candidate can be right on all of them. Decide which answer holds.",
    )  # fmt: skip


def _empty_reference(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    rows = [row for row, example in _rows(eval_set) if not example.references]
    return _finding(
        "empty-reference",
        "warning",
        rows,
        "Rows without a reference: {n}. They can't be graded. Fill them in or drop them.",
    )


def _too_few(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    n = len(eval_set.examples)
    if n >= FEW_EXAMPLES:
        return None
    return Finding(
        "too-few", "warning", n, (),
        f"{n} examples: under {FEW_EXAMPLES} only very large differences show. 50–100 are a start, 500–1,000 are good.",
    )  # fmt: skip


def _label_rare(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    labels = labels_of(eval_set)
    counts = Counter(reference for example in eval_set.examples for reference in example.references)
    rare = {label for label in labels or () if counts[label] < RARE_LABEL}
    rows = [row for row, example in _rows(eval_set) if rare.intersection(example.references)]
    return _finding(
        "label-rare",
        "info",
        rows,
        f"{len(rare)} labels have fewer than {RARE_LABEL} rows: nothing can be said about each alone.",
    )


def _label_spelling(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    spellings: dict[str, set[str]] = defaultdict(set)
    for label in labels_of(eval_set) or ():
        spellings["".join(filter(str.isalnum, folded(label))) or label].add(label)
    several = [names for names in spellings.values() if len(names) > 1]
    odd = set().union(*several) if several else set()
    rows = [row for row, example in _rows(eval_set) if odd.intersection(example.references)]
    shown = " and ".join(repr(name) for name in sorted(several[0])) if several else ""
    return _finding(
        "label-spelling",
        "warning",
        rows,
        f"labels differ in spelling alone ({shown}): an exact grader counts one as wrong. Use one spelling.",
    )


def _detectable_difference(eval_set: ExampleSet, train_set: ExampleSet | None) -> Finding | None:
    return difference_finding(len(eval_set.examples))


def difference_finding(n: int) -> Finding:
    """What n examples can show: always said, also of rows that have no mapping yet."""
    points = 100 * detectable_difference(n) if n else 100.0
    return Finding(
        "detectable-difference", "info", n, (),
        f"{n} examples show a difference of about {points:.3g} points between two candidates (80 % power; they disagree on a fifth).",
    )  # fmt: skip


def _finding(id_: str, severity: str, rows: list[int] | tuple[int, ...], message: str) -> Finding | None:
    if not rows:
        return None
    return Finding(id_, severity, len(rows), tuple(rows), message.format(n=len(rows)))  # type: ignore[arg-type]


CHECKS: tuple[Check, ...] = (
    _leak_exact, _contradiction, _duplicate_exact, _empty_reference, _too_few,
    _label_spelling, _label_rare, _detectable_difference,
)  # fmt: skip
