"""What the checks share: what is looked at, when two texts count as the same, how a finding is said."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ftvp_core.data.near import MOST_PARTNERS, near_pairs, near_pairs_between, turned_round
from ftvp_core.types import Example, ExampleSet, Finding

#: More distinct references than this share of the rows: free text, not labels.
LABEL_SHARE = 0.5

Part = Literal["eval", "train"]
Severity = Literal["error", "warning", "info"]
Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Checked:
    """What is checked. `systems` are the candidates' system prompts, `window` a model's context in tokens.

    Without `informing`, a check that could only give information needn't look.
    """

    eval_set: ExampleSet
    train_set: ExampleSet | None = None
    systems: Mapping[str, str | None] | None = None
    window: int | None = None
    informing: bool = True

    def parts(self) -> Iterator[tuple[Part, ExampleSet]]:
        yield "eval", self.eval_set
        if self.train_set is not None:
            yield "train", self.train_set

    @cached_property
    def near(self) -> Mapping[Part, Pairs]:
        """Rows from 1, (later, earlier), that read nearly the same but aren't the same: searched once."""
        return {part: _near_rows(examples) for part, examples in self.parts()}

    @cached_property
    def near_leaks(self) -> Pairs:
        """Rows from 1, (of the eval set, of the training set), as `near`."""
        return near_rows_between(self.eval_set, self.train_set) if self.train_set else ()


Check = Callable[[Checked], Iterable[Finding]]


def folded(text: str) -> str:
    """The form in which two texts count as the same: NFC, lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def asked(example: Example) -> str:
    """All that a row asks: its input, after the turns before it."""
    return "\n".join([*(turn.content for turn in example.history), example.input]) if example.history else example.input


def rows_of(examples: ExampleSet) -> Iterator[tuple[int, Example]]:
    return enumerate(examples.examples, start=1)


def labels_of(examples: ExampleSet) -> tuple[str, ...] | None:
    """The distinct references, sorted, where they are labels; None for free text."""
    references = [reference for example in examples.examples for reference in example.references]
    distinct = sorted(set(references))
    return tuple(distinct) if references and len(distinct) <= max(2, LABEL_SHARE * len(references)) else None


def agreeing(pairs: Pairs, first: ExampleSet, second: ExampleSet) -> list[tuple[int, int]]:
    """The near pairs that ask the same question.

    Who gave them different labels says that the word between them matters; of free text, a `not` that came or went.
    """
    both = (first,) if first is second else (first, second)
    references = [reference for examples in both for one in examples.examples for reference in one.references]
    labels = len(set(references)) <= LABEL_SHARE * len(references)
    return [pair for pair in pairs if _agree(first.examples[pair[0] - 1], second.examples[pair[1] - 1], labels)]


def finding(
    id_: str, severity: Severity, rows: Iterable[int], message: str, part: Part = "eval", pairs: Pairs = ()
) -> Iterator[Finding]:
    """One finding, or none where there are no rows; of the training set, `train-` stands before its id.

    `{n}` in the message is the number of rows.
    """
    found = tuple(sorted(set(rows)))
    if found:
        id_ = f"train-{id_}" if part == "train" else id_
        text = message.replace("{n}", f"{len(found):,}")
        yield Finding(id_, severity, len(found), found, text, part, tuple(pairs))


def whose(part: Part) -> str:
    return "Rows" if part == "eval" else "Training rows"


def shown(text: str, most: int = 40) -> str:
    """A text in one short line."""
    line = " ".join(text.split())
    return repr(line if len(line) <= most else f"{line[: most - 1]}…")


def near_rows_between(eval_set: ExampleSet, train_set: ExampleSet, most: int = MOST_PARTNERS) -> Pairs:
    """Rows from 1, (of the eval set, of the training set), that read nearly the same but aren't the same."""
    texts, others = _texts(eval_set), _texts(train_set)
    pairs = near_pairs_between(texts, others, most)
    return [(at + 1, other + 1) for at, other in pairs if folded(texts[at]) != folded(others[other])]


def _near_rows(examples: ExampleSet) -> Pairs:
    texts = _texts(examples)
    return [(at + 1, other + 1) for at, other in near_pairs(texts) if folded(texts[at]) != folded(texts[other])]


def _texts(examples: ExampleSet) -> list[str]:
    return [asked(one) for one in examples.examples]


def _agree(a: Example, b: Example, labels: bool) -> bool:
    ours, theirs = ({folded(one) for one in example.references} for example in (a, b))
    if ours & theirs:
        return True
    return not (labels and ours and theirs) and not turned_round(asked(a), asked(b))
