"""What a prompt is given: how many passages, in which order, within which budget."""

from collections.abc import Sequence

import pytest

from ftvp_core.candidates.lookup import golden, open_label_lookup, open_lookup, within
from ftvp_core.candidates.ranking import Index
from ftvp_core.spec import Candidate, RetrievalSpec
from ftvp_core.types import Example, ExampleSet, Knowledge, Mapped, Passage

#: 8, 4, 4 and 1 tokens of four bytes; two passages have two bytes between them.
PASSAGES = (
    Passage("a.md#1", "a.md", "x" * 32),
    Passage("a.md#2", "a.md", "카드를 정지"[:5] + "x" * 3),
    Passage("b.md", "b.md", "y" * 16),
    Passage("c.md", "c.md", "z"),
)
KNOWLEDGE = Knowledge("k", "0", PASSAGES)


class InOrder:
    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        return [list(range(len(PASSAGES)))[:k] for _ in texts]


@pytest.mark.parametrize(("max_tokens", "kept"), [(None, 4), (100, 4), (13, 2), (12, 1), (8, 1), (1, 1)])
def test_passages_are_taken_in_order_until_the_next_does_not_fit(max_tokens: int | None, kept: int) -> None:
    """32 + 2 + 16 bytes are 13 tokens; the last passage would fit alone, but stands behind one that doesn't."""
    assert len(PASSAGES[1].text.encode()) == 16
    assert within(PASSAGES, max_tokens) == PASSAGES[:kept]


def test_the_budget_holds_for_what_is_retrieved_and_for_gold() -> None:
    example = Example("1", "q", (), {}, gold=("a.md", "c.md"))
    eval_set = ExampleSet("e", "0", "csv", "utf-8", Mapped("input"), (example,))

    def given(**retrieval: object) -> list[str]:
        candidate = Candidate.model_validate({"name": "r", "model": "openai/m", "retrieval": retrieval})

        def index_of(texts: Sequence[str], asked: RetrievalSpec) -> Index:
            assert (list(texts), asked) == ([one.text for one in PASSAGES], candidate.retrieval)
            return InOrder()

        lookup = open_lookup(candidate, "candidate r", eval_set, None, KNOWLEDGE, 0, index_of)
        return [passage.id for passage in lookup([example])[0].passages]

    assert given(top_k=3) == ["a.md#1", "a.md#2", "b.md"]
    assert given(top_k=3, max_tokens=13) == ["a.md#1", "a.md#2"]
    assert given(oracle=True) == ["a.md#1", "a.md#2", "c.md"]
    assert given(oracle=True, max_tokens=13) == ["a.md#1", "a.md#2"]


def test_gold_is_named_by_passage_or_by_source_once_and_in_the_knowledges_order() -> None:
    gold = golden(KNOWLEDGE)
    asked = Example("1", "q", (), {}, gold=("c.md", "a.md#2", "a.md", "missing"))
    assert [passage.id for passage in gold(asked)] == ["a.md#1", "a.md#2", "c.md"]


@pytest.mark.parametrize("select", ["random", "nearest"])
@pytest.mark.parametrize(("rows", "shown"), [(9, 3), (3, 2)], ids=["another takes its place", "there is no other"])
def test_a_training_row_is_not_among_its_own_shots(select: str, rows: int, shown: int) -> None:
    train = [Example(str(at), f"question {at}", (f"answer {at}",), {}) for at in range(rows)]
    train_set = ExampleSet("t", "0", "csv", "utf-8", Mapped("input"), tuple(train))
    eval_set = ExampleSet("e", "0", "csv", "utf-8", Mapped("input"), (Example("e", "asked", ("a",), {}),))
    shots = {"k": 3, "select": select}
    candidate = Candidate.model_validate({"name": "few", "model": "openai/m", "shots": shots})

    class ByNumber:
        """The nearest question is the one itself, then those after it."""

        def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
            return [[(int(text.split()[1]) + step) % rows for step in range(k)] for text in texts]

    sources = (candidate, "few", eval_set, train_set, None, 0, lambda *_: ByNumber())
    for example, given in zip(train, open_label_lookup(*sources)(train), strict=True):
        ids = [shot.id for shot, _ in given.shots]
        assert example.id not in ids and len(ids) == len(set(ids)) == shown
        if select == "nearest":
            after = [str((int(example.id) + step) % rows) for step in (1, 2, 3)][:shown]
            assert ids == after[::-1], "the nearest stands last"
    if select == "random" and rows > 3:  # others are shown what every question is shown
        usual = [shot for shot, _ in open_lookup(*sources)(train)[0].shots]
        taught = open_label_lookup(*sources)(train)
        same = [[shot for shot, _ in given.shots] == usual for given in taught]
        assert same == [example not in usual for example in train]
