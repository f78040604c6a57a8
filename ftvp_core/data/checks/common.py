"""What the checks share: what is looked at, when two texts count as the same, how a finding is said."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ftvp_core.data.near import MOST_PARTNERS, Forms, near_pairs, near_pairs_between, turned_round
from ftvp_core.types import Example, ExampleSet, Finding

#: More distinct references than this share of the rows: free text, not labels.
LABEL_SHARE = 0.5

Part = Literal["eval", "train"]
Severity = Literal["error", "warning", "info"]
Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Checked:
    """What is checked, and what several checks look at: made once, by the first. Rows count from 1.

    `systems` are the candidates' system prompts, `window` a model's context in tokens. Without `informing`, a check
    that could only give information needn't look.
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
    def questions(self) -> Mapping[Part, Sequence[str]]:
        """All that each row asks, folded."""
        return {part: [folded(asked(one)) for one in examples.examples] for part, examples in self.parts()}

    @cached_property
    def several(self) -> Mapping[Part, Sequence[Sequence[int]]]:
        """The rows of each question that several ask."""
        return {part: _several(questions) for part, questions in self.questions.items()}

    @cached_property
    def answers(self) -> Mapping[Part, Mapping[int, str]]:
        """By row, its first reference that isn't empty."""
        return {part: _answers(examples) for part, examples in self.parts()}

    @cached_property
    def labels(self) -> Mapping[Part, Counter[str]]:
        return {part: label_counts(examples) for part, examples in self.parts()}

    @cached_property
    def leaks(self) -> Pairs:
        """Rows (of the eval set, the first of the training set) that ask the same."""
        first: dict[str, int] = {}
        for row, question in enumerate(self.questions.get("train", ()), start=1):
            first.setdefault(question, row)
        questions = enumerate(self.questions["eval"], start=1)
        return [(row, first[question]) for row, question in questions if question in first]

    @cached_property
    def repeated(self) -> Mapping[Part, Pairs]:
        """Rows (later, earliest) with the same question and the same references."""
        return {part: _repeated(self.several[part], examples) for part, examples in self.parts()}

    @cached_property
    def near(self) -> Mapping[Part, Pairs]:
        """Rows (later, earlier) that read nearly the same but don't ask the same."""
        return {part: self._unequal(near_pairs(self._forms[part]), part, part) for part, _ in self.parts()}

    @cached_property
    def near_agreeing(self) -> Mapping[Part, Pairs]:
        """Those of `near` that ask the same question."""
        return {part: self._agreeing(self.near[part], part, part) for part, _ in self.parts()}

    def near_leaks(self, most: int = MOST_PARTNERS) -> Pairs:
        """Rows (of the eval set, of the training set), as `near_agreeing`: each of the eval set with `most` others."""
        if self.train_set is None:
            return ()
        pairs = near_pairs_between(self._forms["eval"], self._forms["train"], most)
        return self._agreeing(self._unequal(pairs, "eval", "train"), "eval", "train")

    @cached_property
    def _forms(self) -> Mapping[Part, Forms]:
        return {part: Forms(map(asked, examples.examples)) for part, examples in self.parts()}

    def _unequal(self, places: Pairs, first: Part, second: Part) -> Pairs:
        """The rows of these places that don't ask the same."""
        ours, theirs = self.questions[first], self.questions[second]
        return [(at + 1, other + 1) for at, other in places if ours[at] != theirs[other]]

    def _agreeing(self, pairs: Pairs, first: Part, second: Part) -> Pairs:
        """The near pairs that ask the same question.

        Who gave them different labels says that the word between them matters; of free text, a `not` that came or went.
        """
        sets, forms = dict(self.parts()), self._forms
        references = [one for part in {first, second} for row in sets[part].examples for one in row.references]
        labels = len(set(references)) <= LABEL_SHARE * len(references)
        ours, theirs = sets[first].examples, sets[second].examples

        def agree(at: int, other: int) -> bool:
            answers, others = ours[at].references, theirs[other].references
            if _share_one(answers, others):
                return True
            told_apart = labels and answers and others
            return not told_apart and not turned_round(forms[first].of_texts[at], forms[second].of_texts[other])

        return [(row, other) for row, other in pairs if agree(row - 1, other - 1)]


Check = Callable[[Checked], Iterable[Finding]]


def folded(text: str) -> str:
    """The form in which two texts count as the same: NFC, lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def asked(example: Example) -> str:
    """All that a row asks: its input, after the turns before it."""
    return "\n".join([*(turn.content for turn in example.history), example.input]) if example.history else example.input


def rows_of(examples: ExampleSet) -> Iterator[tuple[int, Example]]:
    return enumerate(examples.examples, start=1)


def label_counts(examples: ExampleSet) -> Counter[str]:
    """Rows a label, in the order of the rows; empty where the references are free text."""
    counts = Counter(reference for example in examples.examples for reference in example.references)
    return counts if len(counts) <= max(2, LABEL_SHARE * counts.total()) else Counter()


def labels_of(examples: ExampleSet) -> tuple[str, ...] | None:
    """The distinct references, sorted, where they are labels; None for free text."""
    return tuple(sorted(label_counts(examples))) or None


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


def _answers(examples: ExampleSet) -> Mapping[int, str]:
    rows = ((row, next((text for text in one.references if text.strip()), None)) for row, one in rows_of(examples))
    return {row: text for row, text in rows if text is not None}


def _several(questions: Sequence[str]) -> Sequence[Sequence[int]]:
    rows: dict[str, list[int]] = {question: [] for question, n in Counter(questions).items() if n > 1}
    for row, question in enumerate(questions, start=1):
        if question in rows:
            rows[question].append(row)
    return tuple(rows.values())


def _repeated(several: Sequence[Sequence[int]], examples: ExampleSet) -> Pairs:
    pairs = []
    for rows in several:
        first: dict[tuple[str, ...], int] = {}
        pairs += [(row, first.setdefault(examples.examples[row - 1].references, row)) for row in rows]
    return sorted(pair for pair in pairs if pair[0] != pair[1])


def _share_one(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    return not set(ours).isdisjoint(theirs) or not set(map(folded, ours)).isdisjoint(map(folded, theirs))
