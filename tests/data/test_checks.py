"""Checks of the data: each finding where it is due, and not where it isn't."""

import os
import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ftvp_core.data.checks import check, detectable_difference, labels_of, without_leaks
from ftvp_core.data.rows import read_table
from ftvp_core.types import Example, ExampleSet, Finding, Mapped, Message

DATA = os.environ.get("FTVP_TEST_DATA")


def examples(rows: Sequence[tuple[str, str | None]]) -> ExampleSet:
    made = tuple(
        Example(str(at), text, (answer,) if answer is not None else (), {}) for at, (text, answer) in enumerate(rows)
    )
    return ExampleSet("e", "0", "csv", "utf-8", Mapped("text", "label"), made)


GOOD = [(f"text {at}", "yes" if at % 2 else "no") for at in range(60)]


def found(
    rows: Sequence[tuple[str, str | None]], train: Sequence[tuple[str, str | None]] | None = None
) -> dict[str, Finding]:
    return {one.id: one for one in check(examples(rows), examples(train) if train is not None else None)}


def test_good_data_has_only_the_difference_that_it_can_show() -> None:
    only = found(GOOD, [(f"another {at + 100}", "yes" if at % 2 else "no") for at in range(60)])
    assert set(only) == {"detectable-difference", "train-size"}
    assert {one.severity for one in only.values()} == {"info"}


@pytest.mark.parametrize(
    ("id_", "rows", "at"),
    [
        ("duplicate-exact", [*GOOD, ("Text  1", "yes")], (61,)),
        ("contradiction", [*GOOD, ("text 1", "no")], (2, 61)),
        ("empty-reference", [*GOOD, ("text 100", None)], (61,)),
        ("label-rare", [*GOOD, ("text 100", "maybe")], (61,)),
        ("label-spelling", [*GOOD, *[(f"more {at}", "Yes") for at in range(6)]], None),
        ("too-few", GOOD[:49], ()),
    ],
)
def test_each_finding_names_its_rows(id_: str, rows: list[tuple[str, str | None]], at: tuple[int, ...] | None) -> None:
    finding = found(rows)[id_]
    assert at is None or finding.rows == at
    assert id_ not in found(GOOD)
    assert finding.message and "\n" not in finding.message


def test_a_leak_is_found_through_case_white_space_and_unicode_forms() -> None:
    train = [(" TEXT   3\n", "yes"), (unicodedata.normalize("NFD", "Grüße"), "no"), ("text 9 and more", "no")]
    leak = found([*GOOD, ("grüße", "no")], train)["leak-exact"]
    assert (leak.severity, leak.count, leak.rows) == ("error", 2, (4, 61))


def test_leaked_rows_are_left_out_of_what_may_be_shown() -> None:
    kept = without_leaks(examples([("Text 3", "x"), ("new", "y")]), examples(GOOD))
    assert [one.input for one in kept] == ["new"]


def test_labels_are_told_from_free_text() -> None:
    assert labels_of(examples(GOOD)) == ("no", "yes")
    assert labels_of(examples([(f"q{at}", f"answer {at}") for at in range(20)])) is None


def test_a_leak_shows_the_training_row_and_is_not_near_as_well() -> None:
    train = [("another thing", "no"), ("TEXT 3", "yes"), ("where is my lost card", "no"), ("text 3!", "yes")]
    by_id = found([*GOOD, ("Where is my card?", "no")], train)
    assert by_id["leak-exact"].pairs == ((4, 2),)
    assert (by_id["leak-near"].rows, by_id["leak-near"].pairs) == ((61,), ((61, 3),))


def test_two_labels_say_that_the_word_between_matters() -> None:
    rows = [*GOOD, ("how do I order a virtual card", "yes"), ("how do I order a card", "no"), ("text 7!", "yes")]
    by_id = found(rows)
    assert by_id["duplicate-near"].pairs == ((63, 8),)
    assert by_id["contradiction-near"].pairs == ((62, 61),)
    assert by_id["contradiction-near"].severity == "info"


def test_of_free_text_a_not_makes_another_question() -> None:
    def leaks(text: str) -> bool:
        return "leak-near" in found([("Why can I not use my card abroad?", "one")], [(text, "two")])

    assert leaks("why can I not use my new card abroad")
    assert not leaks("why can I use my card abroad")


def test_the_same_last_turn_of_two_conversations_is_no_leak_and_no_contradiction() -> None:
    def talk(before: str, answer: str) -> Example:
        return Example(before, "Yes", (answer,), {}, history=(Message("user", before), Message("assistant", "Sure?")))

    talks = ExampleSet("e", "0", "jsonl", "utf-8", Mapped("text"), (talk("cancel it", "done"), talk("pay it", "paid")))
    other = replace(talks, examples=(talk("lose it", "lost"), talk("PAY it", "paid")))
    by_id = {one.id: one.rows for one in check(talks, other) if one.rows and "label" not in one.id}
    assert by_id == {"leak-exact": (2,)}
    assert without_leaks(other, talks) == other.examples[:1]


def test_findings_of_the_training_set_say_so() -> None:
    train = [*GOOD, ("Text 1", "yes"), ("text 2", "yes"), ("more", "  ")]
    by_id = found([("unlike 1", "no"), ("unlike 2", "yes")], train)
    assert {id_: by_id[id_].rows for id_ in by_id if by_id[id_].part == "train" and by_id[id_].rows} == {
        "train-duplicate-exact": (61,),
        "train-contradiction": (3, 62),
        "train-empty-reference": (63,),
        "train-label-rare": (63,),
    }


@pytest.mark.parametrize(
    ("n", "severity", "said"),
    [(9, "error", "by heart"), (10, "warning", "a start at best"), (49, "warning", "a start at best")],
)
def test_a_small_training_set_is_judged_by_its_size(n: int, severity: str, said: str) -> None:
    train = [(f"new {at}", "yes" if at % 2 else "no") for at in range(n)]
    few = found(GOOD, train)["too-few"]
    assert (few.severity, few.count, few.part) == (severity, n, "train") and said in few.message


@pytest.mark.parametrize(
    ("n", "said"), [(50, "are a start"), (499, "are a start"), (500, "a good size"), (10_000, "enough for a big task")]
)
def test_a_larger_training_set_is_told_where_it_stands(n: int, said: str) -> None:
    size = found(GOOD, [(f"new {at}", "yes" if at % 2 else "no") for at in range(n)])["train-size"]
    assert said in size.message and f"{n // 2:,} to {-(-n // 2):,} for each of 2 labels" in size.message


def test_a_label_that_is_nearly_everywhere_makes_a_constant_answer_look_good() -> None:
    rows = [(f"text {at}", "no" if at < 90 else "yes") for at in range(100)]
    one_sided = found(rows)["label-imbalance"]
    assert "right on 90 %" in one_sided.message and one_sided.rows == tuple(range(91, 101))


def test_the_detectable_difference_is_connors() -> None:
    """400 pairs, a fifth discordant: about 6.2 points (Connor 1987); four times as many rows show half of it."""
    assert detectable_difference(400) == pytest.approx(0.0624, abs=0.0005)
    assert detectable_difference(1600) == pytest.approx(detectable_difference(400) / 2, rel=0.02)


@pytest.mark.parametrize("n", [20, 68, 400, 3080])
def test_the_detectable_difference_has_the_power_that_statsmodels_gives_it(n: int) -> None:
    from statsmodels.stats.power import normal_power_het

    difference = detectable_difference(n)
    share = max(0.2, difference)
    power = normal_power_het(
        difference, n, 0.05, std_null=share**0.5, std_alternative=(share - difference**2) ** 0.5, alternative="larger"
    )
    two_sided = normal_power_het(
        difference, n, 0.025, std_null=share**0.5, std_alternative=(share - difference**2) ** 0.5, alternative="larger"
    )
    assert two_sided == pytest.approx(0.8, abs=0.001) and power > two_sided


def test_the_difference_is_said_in_points() -> None:
    message = found([(f"text {at}", "yes" if at % 2 else "no") for at in range(68)])["detectable-difference"].message
    assert message.startswith("68 rows can't see less than about 14")


@pytest.mark.skipif(not DATA, reason="FTVP_TEST_DATA is unset")
def test_the_leaks_of_banking77_are_found_and_near_copies_of_its_rows() -> None:
    """Seven test texts occur in train after lower-casing (counted apart); 60 planted copies, each way of copying."""
    assert DATA
    banking = [_banking(Path(DATA) / "banking77" / f"{part}.csv") for part in ("train", "test")]
    train, test = banking
    copied = random.Random(7).sample([row for row in train if len(row[0].split()) >= 6], 60)
    ways: tuple[Callable[[str], str], ...] = (
        str.upper,
        lambda text: text.rstrip("?.!") + " …",
        lambda text: " ".join(word for at, word in enumerate(text.split()) if at != 2),
    )
    planted = [(ways[at % 3](text), label) for at, (text, label) in enumerate(copied)]
    by_id = found([*test, *planted], train)
    assert len([row for row in by_id["leak-exact"].rows if row <= len(test)]) == 7
    named = {*by_id["leak-exact"].rows, *by_id["leak-near"].rows}
    assert sum(row > len(test) for row in named) >= 59
    assert set(by_id["leak-exact"].rows).isdisjoint(by_id["leak-near"].rows)


def _banking(path: Path) -> list[tuple[str, str]]:
    return [(str(row["text"]), str(row["category"])) for row in read_table(path).rows]


def test_codes_that_differ_by_a_letter_are_no_spellings() -> None:
    labels = ['{"answer": "room K68"}'] * 12 + ['{"answer": "room U68"}'] * 2 + ["delivery"] * 12 + ["delivrey"]
    rows = examples([(f"row number {at} of all", label) for at, label in enumerate(labels)])
    spelled = next(one for one in check(rows) if one.id == "label-spelling")
    assert spelled.rows == (*range(15, 28),)
