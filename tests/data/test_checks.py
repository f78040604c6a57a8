"""Checks of the data: each finding where it is due, and not where it isn't."""

import unicodedata
from collections.abc import Sequence

import pytest

from ftvp_core.data.checks import check, detectable_difference, labels_of, without_leaks
from ftvp_core.types import Example, ExampleSet, Finding, Mapped


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
    only = found(GOOD, [("another", "yes")])
    assert set(only) == {"detectable-difference"}
    assert only["detectable-difference"].severity == "info"


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


def test_the_detectable_difference_is_connors() -> None:
    """400 pairs, a fifth discordant: about 6.2 points (Connor 1987); four times as many rows show half of it."""
    assert detectable_difference(400) == pytest.approx(0.0624, abs=0.0005)
    assert detectable_difference(1600) == pytest.approx(detectable_difference(400) / 2, rel=0.02)
