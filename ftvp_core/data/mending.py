"""What one click makes of a finding: a cleaned set, to be kept as a new version. The old one stays.

A mend is one function, the set that the finding is of -> its rows as they should be, with a line in `MENDS`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ftvp_core.data.checks import answers, labels, leaks, private, prompts
from ftvp_core.data.checks.common import Check, Checked, Part, label_counts
from ftvp_core.types import Example, ExampleSet, Finding


@dataclass(frozen=True, slots=True)
class Mended:
    """`examples` are all rows of the cleaned `part`; the other set stays as it is. `said` is one sentence."""

    part: Part
    examples: Sequence[Example]
    dropped: int
    changed: int
    said: str


Mend = Callable[[ExampleSet, Finding], tuple[Example, ...]]


def mend(
    finding_id: str,
    eval_set: ExampleSet,
    train_set: ExampleSet | None,
    *,
    window: int | None = None,
) -> Mended | None:
    """The cleaned set, of the eval set's finding or, with `train-` before its id, of the training set's.

    `window` is what `check` was given. None where nothing is found, no mend is safe, or no row would be
    left. Leaks are mended in the training set: an eval set cut to fit it would measure something else. The near ones'
    mend takes the exact ones along.
    """
    if finding_id in LEAKS:
        return _without_leaks(finding_id, eval_set, train_set) if train_set is not None else None
    check, repair = MENDS.get(finding_id.removeprefix("train-"), (None, None))
    if check is None or repair is None or finding_id in NOT_IN_EVAL:
        return None
    checked = Checked(eval_set, train_set, window=window)
    found = next((one for one in check(checked) if one.id == finding_id), None)
    if found is None:
        return None
    examples = train_set if found.part == "train" and train_set is not None else eval_set
    return _told(found.part, examples, repair(examples, found))


def can_mend(finding_id: str) -> bool:
    """Whether there is a mend for findings of this id at all."""
    known = finding_id in LEAKS or finding_id.removeprefix("train-") in MENDS
    return known and finding_id not in NOT_IN_EVAL


def _told(part: Part, examples: ExampleSet, rows: Sequence[Example], stays: str = "") -> Mended | None:
    before = {one.id: one for one in examples.examples}
    dropped, changed = len(before) - len(rows), sum(one != before[one.id] for one in rows)
    if not rows or not dropped + changed:
        return None
    counts = ((dropped, "dropped"), (changed, "changed"), (len(rows) - changed, "kept as they were"))
    done = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    name = "training" if part == "train" else "eval"
    return Mended(part, rows, dropped, changed, f"Rows of the {name} set: {done}{stays}.")


def _without_leaks(finding_id: str, eval_set: ExampleSet, train_set: ExampleSet) -> Mended | None:
    near = leaks.leaking_rows(eval_set, train_set) if finding_id == "leak-near" else frozenset()
    kept = leaks.without_leaks(replace(train_set, examples=_dropped(train_set, near)), eval_set)
    return _told("train", train_set, kept, stays="; the eval set stays as it is")


def _dropped(examples: ExampleSet, rows: Collection[int]) -> tuple[Example, ...]:
    gone = frozenset(rows)
    return tuple(one for row, one in enumerate(examples.examples, start=1) if row not in gone)


def _drop(examples: ExampleSet, found: Finding) -> tuple[Example, ...]:
    """Of duplicates the finding names the later ones, so that one of each stays."""
    return _dropped(examples, found.rows)


def _strip(examples: ExampleSet, found: Finding) -> tuple[Example, ...]:
    return tuple(
        replace(one, references=tuple(text.strip() or text for text in one.references)) for one in examples.examples
    )


def _respell(examples: ExampleSet, found: Finding) -> tuple[Example, ...]:
    right = labels.spellings(label_counts(examples))
    return tuple(
        replace(one, references=tuple(dict.fromkeys(right.get(text, text) for text in one.references)))
        for one in examples.examples
    )


LEAKS = frozenset({"leak-exact", "leak-near"})
#: Dropping these from an eval set would leave the questions that are hard to answer out of the measure.
NOT_IN_EVAL = frozenset({"refusal", "answer-cut", "too-long"})
MENDS: Mapping[str, tuple[Check, Mend]] = {
    "duplicate-exact": (leaks.duplicate_exact, _drop),
    "duplicate-near": (leaks.duplicate_near, _drop),
    "contradiction": (leaks.contradiction, _drop),
    "empty-input": (answers.empty_input, _drop),
    "error-cell": (answers.error_cell, _drop),
    "empty-reference": (answers.empty_reference, _drop),
    "refusal": (answers.refusal, _drop),
    "answer-cut": (answers.answer_cut, _drop),
    "too-long": (prompts.too_long, _drop),
    "personal-data": (private.personal_data, _drop),
    "format-mixed": (answers.format_mixed, _strip),
    "label-spelling": (labels.label_spelling, _respell),
}
