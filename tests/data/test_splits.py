"""Splits: every row once, bundles whole, labels in their shares; the same for the same seed."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftvp_core.data.near import Forms, near_pairs
from ftvp_core.data.splits import split
from ftvp_core.errors import UserError
from ftvp_core.types import Example, ExampleSet, Mapped

WORDS = ("lost", "card", "pin", "top", "up", "fee", "where", "is", "my", "new")


def as_set(rows: list[tuple[str, str, str | None]]) -> ExampleSet:
    made = tuple(Example(str(at), text, (label,), {}, group=group) for at, (text, label, group) in enumerate(rows))
    return ExampleSet("s", "0", "csv", "utf-8", Mapped("text", "label"), made)


rows = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join),
        st.sampled_from(("a", "b", "c")),
        st.one_of(st.none(), st.sampled_from(("g", "h", "i", "j"))),
    ),
    max_size=60,
)
shares = st.dictionaries(
    st.sampled_from(("train", "eval", "test")), st.floats(0.05, 10), min_size=1, max_size=3
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows, shares, st.integers(0, 3))
def test_every_row_is_in_one_part_and_bundles_are_whole(
    given_rows: list[tuple[str, str, str | None]], given_shares: Mapping[str, float], seed: int
) -> None:
    examples = as_set(given_rows)
    parts = split(examples, given_shares, seed)
    part_of = {one.id: name for name, part in parts.items() for one in part}
    assert Counter(one.id for part in parts.values() for one in part) == Counter(one.id for one in examples.examples)
    assert set(parts) == set(given_shares) and split(examples, given_shares, seed) == parts
    for part in parts.values():
        assert [one.id for one in part] == sorted((one.id for one in part), key=int)
    of_group: dict[str, str] = {}
    for one in examples.examples:
        assert one.group is None or of_group.setdefault(one.group, part_of[one.id]) == part_of[one.id]
    for later, earlier in near_pairs(Forms(text for text, _, _ in given_rows)):
        assert part_of[str(later)] == part_of[str(earlier)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=80), shares, st.integers(0, 3))
def test_single_rows_are_less_than_one_off_each_labels_share(
    labels: list[str], given_shares: Mapping[str, float], seed: int
) -> None:
    parts = split(as_set([(f"row {at}", label, None) for at, label in enumerate(labels)]), given_shares, seed)
    total = sum(given_shares.values())
    for name, share in given_shares.items():
        for label in set(labels) if len(set(labels)) <= max(2, len(labels) / 2) else ():
            count = sum(one.references == (label,) for one in parts[name])
            assert abs(count - share / total * labels.count(label)) < 1 + 1e-9


def test_another_seed_is_another_split_and_a_large_group_stays_whole() -> None:
    many = as_set([(f"row {at}", "a" if at % 2 else "b", "big" if at < 70 else None) for at in range(100)])
    parts = split(many, {"train": 0.8, "eval": 0.2}, 0)
    assert [len(parts[name]) for name in ("train", "eval")] == [80, 20]
    assert {one.id for one in parts["train"]} >= {str(at) for at in range(70)}
    assert split(many, {"train": 0.8, "eval": 0.2}, 1) != parts


@pytest.mark.parametrize("wrong", [{}, {"train": 0}, {"train": -1, "eval": 2}, {"train": float("nan")}])
def test_shares_that_cut_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="split"):
        split(as_set([("a", "b", None)]), wrong, 0)
