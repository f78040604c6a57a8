"""What an arm's search asks servers for, before it is asked: who is needed, how often, and the most that it can cost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.candidates.remote import TEXTS_A_REQUEST
from ftvp_core.candidates.reranking import DEPTH
from ftvp_core.pricing.prices import Pricer, price_of
from ftvp_core.spec import RetrievalSpec, Spec, is_remote
from ftvp_core.types import Usage

#: Tokens that a tokenizer may put around a text of its own accord, and servers count.
_AROUND = 8


@dataclass(frozen=True, slots=True)
class Search:
    """A server's model that helps an arm's search. `price` is None where it isn't known."""

    model: str  # provider/model
    price: Pricer | None

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    def most(self, texts: Iterable[str]) -> Decimal:
        """The most that reading the texts once can cost: no token is shorter than a byte."""
        if self.price is None:
            return Decimal(0)
        return self.price.cost(Usage(sum(len(text.encode()) + _AROUND for text in texts), 0, 0)) or Decimal(0)


def searches(retrieval: RetrievalSpec | None, spec: Spec) -> tuple[Search | None, Search | None]:
    """The servers that a search needs: for embeddings, and to re-rank."""
    if retrieval is None or retrieval.oracle:
        return None, None
    embeds = retrieval.embedder if retrieval.mode != "lexical" and is_remote(retrieval.embedder) else None
    reranks = retrieval.rerank if retrieval.rerank and is_remote(retrieval.rerank) else None
    one, other = (Search(model, price_of(model, spec)) if model else None for model in (embeds, reranks))
    return one, other


@dataclass(frozen=True, slots=True)
class Searched:
    """An arm's search, and all questions that it may be asked."""

    retrieval: RetrievalSpec | None
    embeds: Search | None
    reranks: Search | None
    questions: Sequence[str]


def foreseen(arms: Sequence[Searched], passages: Sequence[str]) -> Iterator[tuple[Search, Sequence[str]]]:
    """Each request with the texts that it sends, if nothing is there already: as many and as long as they can be."""
    for search in {arm.embeds.model: arm.embeds for arm in arms if arm.embeds}.values():
        of_it = [arm for arm in arms if arm.embeds and arm.embeds.model == search.model]
        texts = list(dict.fromkeys(passages))
        for at in range(0, len(texts), TEXTS_A_REQUEST):
            yield search, texts[at : at + TEXTS_A_REQUEST]
        for question in dict.fromkeys(question for arm in of_it for question in arm.questions):
            yield search, [question]
    longest = sorted(passages, key=len, reverse=True)
    for arm in arms:
        if arm.reranks and arm.retrieval:
            for question in dict.fromkeys(arm.questions):
                yield arm.reranks, [question, *longest[: DEPTH * arm.retrieval.top_k]]
