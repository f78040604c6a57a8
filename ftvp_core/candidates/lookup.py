"""What a prompt needs beside the example: shots and passages, looked up for many examples at once."""

import random
from collections.abc import Callable, Sequence

from ftvp_core.candidates.filtering import filtered
from ftvp_core.candidates.prompt import context_text
from ftvp_core.candidates.ranking import Index
from ftvp_core.data.checks import without_leaks
from ftvp_core.data.checks.common import asked, folded
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate, RetrievalSpec
from ftvp_core.tokens import estimated
from ftvp_core.types import Example, ExampleSet, Given, Knowledge, Passage

#: For each example, in order, what its prompt is given.
Lookup = Callable[[Sequence[Example]], list[Given]]


#: Builds, or opens, the index of these texts that a retrieval asks for.
IndexOf = Callable[[Sequence[str], RetrievalSpec], Index]
#: How shots are searched: by meaning, with the offline embedder. A question is like another in what it means.
NEAREST_SHOTS = RetrievalSpec()


def open_lookup(
    candidate: Candidate,
    where: str,
    eval_set: ExampleSet,
    train_set: ExampleSet | None,
    knowledge: Knowledge | None,
    seed: int,
    index_of: IndexOf,
) -> Lookup:
    """The candidate's Lookup. Raises UserError, before any call.

    Random shots are drawn once, with `seed`, for all examples: they are part of the prompt, so a provider can
    cache them. Training rows that stand in the eval set are never shown.
    """
    passages = _passages(candidate.retrieval, where, knowledge, index_of)
    k = candidate.shots.k if candidate.shots else 0
    if candidate.shots is None or k == 0 or train_set is None:
        return lambda examples: [Given(found) for found in passages(examples)]
    pool = shot_pool(train_set, eval_set)
    if len(pool) < k:
        raise UserError(
            f"{where}.shots.k",
            f"found {k}; {train_set.name} has {len(pool)} rows with a reference that aren't in the eval set",
        )
    if candidate.shots.select == "random":
        # One shuffle, then the first k: a sweep over k adds shots and keeps those it had.
        fixed = random.Random(seed).sample(pool, len(pool))[:k]
        shots = tuple(zip(fixed, passages(fixed), strict=True))
        return lambda examples: [Given(found, shots) for found in passages(examples)]
    index = index_of([example.input for example in pool], NEAREST_SHOTS)

    def nearest(examples: Sequence[Example]) -> list[Given]:
        found = index.query([example.input for example in examples], k)
        # The nearest last, next to the question.
        chosen = [[pool[at] for at in reversed(positions)] for positions in found]
        return [
            Given(own, tuple(zip(shots, passages(shots), strict=True)))
            for own, shots in zip(passages(examples), chosen, strict=True)
        ]

    return nearest


def open_label_lookup(
    candidate: Candidate,
    where: str,
    eval_set: ExampleSet,
    train_set: ExampleSet,
    knowledge: Knowledge | None,
    seed: int,
    index_of: IndexOf,
) -> Lookup:
    """The candidate's Lookup for training rows: no row's own answer is among its shots. Raises UserError.

    One shot more is looked up, where there is one, and takes the place of the row itself: as many are shown as
    anywhere else, and but for that one row the same.
    """
    sources = (where, eval_set, train_set, knowledge, seed, index_of)
    shots = candidate.shots
    if shots is None or shots.k == 0:
        return open_lookup(candidate, *sources)
    k = shots.k
    spare = shots.model_copy(update={"k": max(k, min(k + 1, len(shot_pool(train_set, eval_set))))})
    lookup = open_lookup(candidate.model_copy(update={"shots": spare}), *sources)
    kept = slice(k) if shots.select == "random" else slice(-k, None)  # the nearest stand last

    def others(examples: Sequence[Example]) -> list[Given]:
        found = []
        for example, given in zip(examples, lookup(examples), strict=True):
            own = folded(asked(example))
            shown = tuple(shot for shot in given.shots if folded(asked(shot[0])) != own)
            found.append(Given(given.passages, shown[kept]))
        return found

    return others


def shot_pool(train_set: ExampleSet, eval_set: ExampleSet) -> list[Example]:
    """Training rows that may be shown: with a reference, and not in the eval set."""
    return [example for example in without_leaks(train_set, eval_set) if example.references]


def _passages(
    retrieval: RetrievalSpec | None, where: str, knowledge: Knowledge | None, index_of: IndexOf
) -> Callable[[Sequence[Example]], list[tuple[Passage, ...]]]:
    if retrieval is None or knowledge is None:
        return lambda examples: [() for _ in examples]
    most = retrieval.max_tokens
    if retrieval.oracle:
        gold = golden(knowledge)
        return lambda examples: [within(gold(example)[: retrieval.top_k], most) for example in examples]
    searched = filtered(knowledge, retrieval.filter, where)
    index = index_of([passage.text for passage in searched], retrieval)

    def retrieve(examples: Sequence[Example]) -> list[tuple[Passage, ...]]:
        found = index.query([example.input for example in examples], retrieval.top_k)
        return [within([searched[at] for at in positions], most) for positions in found]

    return retrieve


def within(passages: Sequence[Passage], max_tokens: int | None) -> tuple[Passage, ...]:
    """The passages in their order up to the first that no longer fits, as `{context}` is written.

    Counted as chunks are (`tokens.estimated`), so that a prompt is the same on every machine. The first is always
    kept, and kept whole: a passage is never cut, and a candidate that retrieves never goes without one.
    """
    if max_tokens is None:
        return tuple(passages)
    kept = list(passages[:1])
    for passage in passages[1:]:
        if estimated(context_text([*kept, passage])) > max_tokens:
            break
        kept.append(passage)
    return tuple(kept)


def golden(knowledge: Knowledge) -> Callable[[Example], tuple[Passage, ...]]:
    """What gives an example's gold passages: those that the eval set names by id, or by source."""
    named: dict[str, list[int]] = {}
    for at, passage in enumerate(knowledge.passages):
        for name in {passage.id, passage.source}:
            named.setdefault(name, []).append(at)

    def gold(example: Example) -> tuple[Passage, ...]:
        positions = sorted({at for name in example.gold for at in named.get(name, ())})
        return tuple(knowledge.passages[at] for at in positions)

    return gold
