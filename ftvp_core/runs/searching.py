"""What a run's searches ask servers for, embeddings and re-ranking: each request an attempt in the ledger.

An embedding belongs to the first arm that searches with its embedder, whoever asks first: one that comes later finds
it there. A passage's stands beside no example, a question's at its example. A re-ranking is its own arm's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ftvp_core.candidates.remote import Embedded, RemoteEmbedder
from ftvp_core.errors import CallFailed
from ftvp_core.models.searching import Numbers, SearchServer
from ftvp_core.pricing.prices import Pricer
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Calls, Settled
from ftvp_core.runs.providers import api_key, provider_named
from ftvp_core.runs.searches import Search
from ftvp_core.store.ledger import NONE, Outcome, Purpose, Unit
from ftvp_core.types import Example, Usage


@dataclass(frozen=True, slots=True)
class _Request:
    unit: Unit
    texts: Sequence[str]
    send: Callable[[SearchServer], Awaitable[Numbers]]


class Searching:
    """A run's servers for searching, from its opening to its end."""

    def __init__(self, plan: Plan, calls: Calls) -> None:
        self._plan = plan
        self._calls = calls
        self._embedders: dict[str, RemoteEmbedder] = {}
        self._servers: dict[str, SearchServer] = {}
        self._passages_sent = 0
        self._reranked: dict[tuple[int, str], Usage] = {}

    def embedder(self, model: str) -> RemoteEmbedder:
        """The embedder of this `provider/model`, one a run."""
        if model not in self._embedders:
            at, search = next(
                (at, one) for at, arm in enumerate(self._plan.arms) if (one := arm.embeds) and one.model == model
            )
            positions: dict[str, int] = {}
            for position, example in enumerate(self._plan.arms[at].examples):
                positions.setdefault(example.input, position)

            def call(requests: Sequence[Sequence[str]], are_questions: bool) -> list[Embedded | CallFailed]:
                units = [self._unit(at, positions.get(one[0], NONE) if are_questions else NONE) for one in requests]
                asked = [
                    _Request(unit, one, _embedding(one, self._timeout_s))
                    for unit, one in zip(units, requests, strict=True)
                ]
                got = self._calls.wait_for(self._all(search, "embedding", asked))
                return [one if isinstance(one, CallFailed) else _embedded(one) for one in got]

            base_url = provider_named(search.provider, self._plan.spec).base_url.rstrip("/")
            identity = f"{base_url}#{model.partition('/')[2]}"
            self._embedders[model] = RemoteEmbedder(identity, call, reuse=self._plan.spec.run.cache)
        return self._embedders[model]

    def rank(self, at: int, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Sequence[float] | CallFailed]:
        """For each question the scores of its texts, by the server that the arm's `rerank` names."""
        search = self._plan.arms[at].reranks
        assert search is not None
        positions = {example.input: place for place, example in reversed(list(enumerate(self._plan.arms[at].examples)))}
        requests = [
            _Request(
                self._unit(at, positions.get(question, NONE)),
                [question, *texts],
                _ranking(question, texts, self._timeout_s),
            )
            for question, texts in asked
        ]
        got = self._calls.wait_for(self._all(search, "rerank", requests))
        for (question, _), one in zip(asked, got, strict=True):
            if isinstance(one, Numbers):
                self._reranked[at, question] = one.usage
        return [one if isinstance(one, CallFailed) else [row[0] for row in one.rows] for one in got]

    def usd(self, at: int, example: Example) -> Decimal | None:
        """What the search for an arm's example costs, paid now or earlier; None where that isn't known."""
        arm = self._plan.arms[at]
        costs: list[Decimal | None] = []
        if arm.embeds:
            tokens = self.embedder(arm.embeds.model).tokens.get(example.input)
            costs.append(_cost(arm.embeds.price, Usage(tokens, 0, 0)))
        if arm.reranks:
            costs.append(_cost(arm.reranks.price, self._reranked.get((at, example.input), Usage())))
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None

    def leave_out(self, name: str, cause: CallFailed) -> None:
        """An arm is left out of what this process does: its passages can't be searched."""
        self._calls.servers.stop(f"candidate {name}", f"its passages can't be embedded ({cause})")

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    @property
    def _timeout_s(self) -> float:
        return self._plan.spec.run.timeout_s

    def _unit(self, at: int, example: int) -> Unit:
        """An example's, or a request's of its own number."""
        if example != NONE:
            return Unit(at, example, 0)
        self._passages_sent += 1
        return Unit(at, NONE, self._passages_sent - 1)

    async def _all(self, search: Search, purpose: Purpose, requests: Sequence[_Request]) -> list[Numbers | CallFailed]:
        """Every request to its end, as many at once as the run sends."""
        room = asyncio.Semaphore(self._calls.concurrency)
        server = self._server(search)

        async def one(request: _Request) -> Numbers | CallFailed:
            async with room:
                most = search.most(request.texts)
                got = await self._calls.ask(search, request.unit, most, lambda: request.send(server), purpose=purpose)
                if isinstance(got, CallFailed):
                    return got
                intent, numbers = got
                cost = _cost(search.price, numbers.usage)
                await self._calls.write(Settled([Outcome(intent, "answered", numbers.usage, cost, numbers.latency_s)]))
                return numbers

        tasks = [asyncio.ensure_future(one(request)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _server(self, search: Search) -> SearchServer:
        if search.model not in self._servers:
            provider = provider_named(search.provider, self._plan.spec)
            name = search.model.partition("/")[2]
            self._servers[search.model] = SearchServer(provider.base_url, name, api_key(provider, search.model))
        return self._servers[search.model]


def _embedding(texts: Sequence[str], timeout_s: float) -> Callable[[SearchServer], Awaitable[Numbers]]:
    return lambda server: server.embed(texts, timeout_s)


def _ranking(question: str, texts: Sequence[str], timeout_s: float) -> Callable[[SearchServer], Awaitable[Numbers]]:
    return lambda server: server.rerank(question, texts, timeout_s)


def _embedded(numbers: Numbers) -> Embedded:
    return Embedded(np.array(numbers.rows, dtype=np.float32), numbers.usage.input)


def _cost(price: Pricer | None, usage: Usage) -> Decimal | None:
    return price.cost(usage) if price else None
