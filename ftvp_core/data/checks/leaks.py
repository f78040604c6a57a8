"""Rows that stand twice: leaks from the training set, duplicates, and the same question with other answers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ftvp_core.data.checks.common import Checked, asked, finding, folded, rows_of, whose
from ftvp_core.data.packed import pack_examples
from ftvp_core.types import Example, ExampleSet, Finding

#: Tags, and so slices of the report.
LEAKED, NOT_LEAKED = "leaked", "not leaked"


def without_leaks(train_set: ExampleSet, eval_set: ExampleSet) -> Sequence[Example]:
    """The training rows whose input isn't an eval row's: what may be shown to a model or train it."""
    evaluated = {folded(asked(example)) for example in eval_set.examples}
    return pack_examples(example for example in train_set.examples if folded(asked(example)) not in evaluated)


def tagged(eval_set: ExampleSet, train_set: ExampleSet) -> ExampleSet:
    """The eval set with its rows tagged as leaked or not, near repetitions too, so that both accuracies are shown.

    It is as it was where nothing has leaked.
    """
    checked = Checked(eval_set, train_set)
    rows = {row for row, _ in (*checked.leaks, *checked.near_leaks())}
    if not rows:
        return eval_set
    examples = (replace(one, tags=(*one.tags, LEAKED if row in rows else NOT_LEAKED)) for row, one in rows_of(eval_set))
    return replace(eval_set, examples=pack_examples(examples))


def leaking_rows(eval_set: ExampleSet, train_set: ExampleSet) -> frozenset[int]:
    """Rows of the training set (from 1) that nearly repeat an eval row, exact repetitions apart: all of them."""
    return frozenset(row for _, row in Checked(eval_set, train_set).near_leaks(most=len(train_set.examples)))


def leak_exact(checked: Checked) -> Iterator[Finding]:
    yield from finding(
        "leak-exact", "error", (row for row, _ in checked.leaks),
        "Eval rows that stand in the training set too: {n}. Whatever trains on them or shows them knows the answers. Leave them out of the training set.",
        pairs=checked.leaks,
    )  # fmt: skip


def leak_near(checked: Checked) -> Iterator[Finding]:
    exact = {row for row, _ in checked.leaks}
    pairs = [pair for pair in checked.near_leaks() if pair[0] not in exact]
    yield from finding(
        "leak-near", "warning", (row for row, _ in pairs),
        "Eval rows that a training row nearly repeats (case, punctuation or a word apart): {n}. Their scores tell little about new questions. Leave these out of the training set.",
        pairs=pairs,
    )  # fmt: skip


def duplicate_exact(checked: Checked) -> Iterator[Finding]:
    harm = {"eval": "They count twice and make intervals too narrow", "train": "They weigh double in training"}
    for part, _ in checked.parts():
        pairs = checked.repeated[part]
        yield from finding(
            "duplicate-exact", "warning", (row for row, _ in pairs),
            f"{whose(part)} that repeat an earlier one: {{n}}. {harm[part]}. Keep one of each.",
            part, pairs,
        )  # fmt: skip


def duplicate_near(checked: Checked) -> Iterator[Finding]:
    for part, _ in checked.parts():
        exact = {row for row, _ in checked.repeated[part]}
        pairs = [pair for pair in checked.near_agreeing[part] if exact.isdisjoint(pair)]
        yield from finding(
            "duplicate-near", "info", (row for row, _ in pairs),
            f"{whose(part)} that nearly repeat an earlier one (case, punctuation or a word apart): {{n}}. Together they say little more than one. Keep one of each, or give them a group.",
            part, pairs,
        )  # fmt: skip


def contradiction(checked: Checked) -> Iterator[Finding]:
    harm = {"eval": "No candidate can be right on all of them", "train": "Training on both teaches neither"}
    for part, examples in checked.parts():
        rows: list[int] = []
        for same in checked.several[part]:
            answers = {row: one for row in same if (one := examples.examples[row - 1].references)}
            rows += answers if len(set(answers.values())) > 1 else ()
        yield from finding(
            "contradiction", "warning", rows,
            f"{whose(part)} that ask the same and expect different answers: {{n}}. {harm[part]}. Decide which answer holds.",
            part,
        )  # fmt: skip


def contradiction_near(checked: Checked) -> Iterator[Finding]:
    """Often the word between two labels is the point; sometimes one of them is a slip."""
    for part, examples in checked.parts():
        agreed = set(checked.near_agreeing[part])
        answered = [pair for pair in checked.near[part] if all(examples.examples[row - 1].references for row in pair)]
        pairs = [pair for pair in answered if pair not in agreed]
        yield from finding(
            "contradiction-near", "info", (row for row, _ in pairs),
            f"{whose(part)} that are a word away from an earlier one and expect another answer: {{n}}. Look whether the word makes the difference or one answer is a slip.",
            part, pairs,
        )  # fmt: skip
