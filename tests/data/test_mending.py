"""Mending: a cleaned set without the finding, the other set untouched, and what was done in one sentence."""

from collections.abc import Sequence

import pytest

from ftvp_core.data.checks import check
from ftvp_core.data.mending import mend
from ftvp_core.types import Example, ExampleSet, Mapped

GOOD = [(f"text {at}", "yes" if at % 2 else "no") for at in range(60)]


def as_set(rows: Sequence[tuple[str, str]]) -> ExampleSet:
    made = tuple(Example(str(at), text, (answer,), {}) for at, (text, answer) in enumerate(rows))
    return ExampleSet("e", "0", "csv", "utf-8", Mapped("text", "label"), made)


def test_leaks_leave_the_training_set_and_the_eval_set_stays() -> None:
    copies = [
        ("where is my new card please", "no"),
        ("Where is my card please", "no"),
        ("where IS my card, please", "no"),
    ]
    evaluated = as_set([*GOOD, ("where is my card please", "no")])
    trained = as_set([("TEXT 3", "yes"), ("text 3", "yes"), *copies, ("another", "no")])
    near = mend("leak-near", evaluated, trained)
    assert near is not None and near.part == "train"
    assert [one.input for one in near.examples] == ["another"]
    exact = mend("leak-exact", evaluated, trained)
    assert exact is not None
    assert [one.input for one in exact.examples] == [copies[0][0], copies[2][0], "another"]
    assert exact.said == "Rows of the training set: 3 dropped, 3 kept as they were; the eval set stays as it is."


@pytest.mark.parametrize(
    ("id_", "more", "dropped", "changed"),
    [
        ("duplicate-exact", [("Text 1", "yes"), ("text 1", "yes")], 2, 0),
        ("duplicate-near", [("How do I order a card?", "yes"), ("how do i order a new card", "yes")], 1, 0),
        ("contradiction", [("text 1", "no")], 2, 0),
        ("empty-reference", [("text 100", " ")], 1, 0),
        ("format-mixed", [("text 100", " yes"), ("text 101", "no\n")], 0, 2),
        ("label-spelling", [("text 100", "Yes"), ("text 101", "NO")], 0, 2),
        ("personal-data", [("I am jo@firma.de", "yes")], 1, 0),
    ],
)
def test_a_mended_set_has_the_finding_no_more(
    id_: str, more: list[tuple[str, str]], dropped: int, changed: int
) -> None:
    sick, healthy = as_set([*GOOD, *more]), as_set([(f"other {at}", answer) for at, (_, answer) in enumerate(GOOD)])
    for mended, part in ((mend(id_, sick, healthy), "eval"), (mend(f"train-{id_}", healthy, sick), "train")):
        assert mended is not None
        assert (mended.part, mended.dropped, mended.changed) == (part, dropped, changed)
        assert len(mended.examples) == len(sick.examples) - dropped
        cleaned = ExampleSet("e", "1", "csv", "utf-8", sick.mapping, mended.examples)
        assert id_ not in {one.id for one in check(cleaned)}
        assert mend(id_, cleaned, None) is None


def test_a_mended_label_is_the_most_frequent_spelling_and_stripped_text_is_the_same_text() -> None:
    respelled = mend("label-spelling", as_set([*GOOD, ("more", "YES")]), None)
    stripped = mend("format-mixed", as_set([*GOOD, ("more", "\tyes ")]), None)
    assert respelled is not None and stripped is not None
    assert respelled.examples[-1].references == stripped.examples[-1].references == ("yes",)


def test_refusals_leave_a_training_set_and_no_eval_set() -> None:
    sick = as_set(
        [(f"q {at}", f"The answer is {at}, and that is all.") for at in range(60)] + [("q", "I'm sorry, I can't help.")]
    )
    assert mend("refusal", sick, None) is None
    mended = mend("train-refusal", as_set(GOOD), sick)
    assert mended is not None and mended.dropped == 1


def test_rows_that_outgrow_the_window_leave_the_training_set_alone() -> None:
    sick = as_set([*GOOD, ("word " * 50, "yes")])
    mended = mend("train-too-long", sick, sick, window=40)
    assert mended is not None and (mended.part, mended.dropped) == ("train", 1)
    assert mend("too-long", sick, sick, window=40) is None and mend("train-too-long", sick, sick) is None


@pytest.mark.parametrize("id_", ["too-few", "detectable-difference", "language-mix", "leak-exact", "nonsense"])
def test_what_has_no_safe_mend_has_none(id_: str) -> None:
    assert mend(id_, as_set(GOOD[:5]), None) is None
