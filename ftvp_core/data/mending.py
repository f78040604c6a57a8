"""What one click makes of a finding: a cleaned set, to be kept as a new version. The old one stays.

A mend is one function, the set that the finding is of -> its rows that stay, with a line in `MENDS`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ftvp_core.data.checks import check, labels_of
from ftvp_core.data.checks.answers import spaced
from ftvp_core.data.checks.labels import spellings
from ftvp_core.types import Example, ExampleSet, Finding


@dataclass(frozen=True, slots=True)
class Mended:
    """`examples` are all rows of the cleaned `part`; the other set stays as it is. `said` is one sentence."""

    part: Literal["eval", "train"]
    examples: tuple[Example, ...]
    dropped: int
    changed: int
    said: str


Mend = Callable[[ExampleSet, Finding], tuple[Example, ...]]


def mend(finding_id: str, eval_set: ExampleSet, train_set: ExampleSet | None) -> Mended | None:
    """The set that a finding of `check` is about, cleaned; None where nothing is found or no mend is safe.

    Leaks are always mended in the training set: an eval set that is cut to fit it would measure something else.
    """
    found = next((one for one in check(eval_set, train_set) if one.id == finding_id), None)
    if found is None:
        return None
    if finding_id in LEAKS and train_set is not None:
        return _without_leaked(found, eval_set, train_set)
    examples = train_set if found.part == "train" else eval_set
    mended = MENDS.get(finding_id.removeprefix("train-"))
    if mended is None or examples is None or (finding_id in TRAIN_ONLY):
        return None
    return _told(found, examples, mended(examples, found))


def _told(found: Finding, examples: ExampleSet, kept: tuple[Example, ...]) -> Mended | None:
    before = {one.id: one for one in examples.examples}
    dropped = len(examples.examples) - len(kept)
    changed = sum(one != before[one.id] for one in kept)
    if not kept or not dropped + changed:
        return None
    done = " and ".join(f"{count:,} {what}" for count, what in ((dropped, "dropped"), (changed, "changed")) if count)
    name = "training" if found.part == "train" else "eval"
    return Mended(found.part, kept, dropped, changed, f"Rows of the {name} set: {done}, {len(kept):,} kept.")


def _without_leaked(found: Finding, eval_set: ExampleSet, train_set: ExampleSet) -> Mended | None:
    """All training rows that repeat or nearly repeat an eval row; a row has more of them than a finding shows."""
    leaked: set[int] = set()
    kept = train_set
    here: Finding | None = found
    while here is not None and kept.examples:
        ids = {kept.examples[row - 1].id for row in _leaking(here, eval_set, kept)}
        leaked |= {row for row, one in enumerate(train_set.examples, start=1) if one.id in ids}
        kept = replace(kept, examples=tuple(one for one in kept.examples if one.id not in ids))
        here = next((one for one in _leaks(eval_set, kept) if one.id == found.id), None) if kept.examples else None
    if not kept.examples:
        return None
    said = f"Rows of the training set that the eval set repeats: {len(leaked):,} dropped, {len(kept.examples):,} kept; the eval set stays as it is."
    return Mended("train", kept.examples, len(leaked), 0, said)
