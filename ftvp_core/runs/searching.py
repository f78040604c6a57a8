"""What a run's searches ask servers for, embeddings and re-ranking: each request an attempt in the ledger.

An embedding belongs to the first arm that searches with its embedder, whoever asks first: one that comes later finds
it there. A passage's stands beside no example, a question's at its example. A re-ranking is the first arm's that asks
for it; its scores are kept in the store, in the transaction that settles its attempt.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ftvp_core.candidates.remote import Came, Embedded, RemoteEmbedder
from ftvp_core.errors import CallFailed, RunStopped
from ftvp_core.models.searching import Numbers, SearchServer
from ftvp_core.pricing.prices import Pricer
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Calls, Settled
from ftvp_core.runs.providers import api_key, provider_named
from ftvp_core.runs.searches import Search
from ftvp_core.store.ledger import NONE, Outcome, Purpose, Ranking, Unit
from ftvp_core.store.store import Store
from ftvp_core.types import Example, Usage


@dataclass(frozen=True, slots=True)
class _Request:
    unit: Unit
    texts: Sequence[str]
    send: Callable[[SearchServer], Awaitable[Numbers]]
    key: str | None = None  # under which what is answered is kept


_Came = Numbers | CallFailed | RunStopped


class Searching:
    """A run's servers for searching, from its opening to its end."""

    def __init__(self, plan: Plan, calls: Calls, store: Store, run_id: str) -> None:
        self._plan = plan
        self._calls = calls
        self._store = store
        self._run_id = run_id
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

            def call(requests: Sequence[Sequence[str]], are_questions: bool) -> list[Came]:
                units = [self._unit(at, positions.get(one[0], NONE) if are_questions else NONE) for one in requests]
                asked = [
                    _Request(unit, one, _embedding(one, self._timeout_s))
                    for unit, one in zip(units, requests, strict=True)
                ]
                return [
                    _embedded(one) if isinstance(one, Numbers) else one
                    for one in self._sent("embedding", search, asked)
                ]

            paid = None  # without the cache what this run paid for before it was ended, and no other's
            if not self._plan.spec.run.cache:
                answered = self._store.answered(self._run_id, "embedding", at)
                paid = {text for text, position in positions.items() if position in answered}
            self._embedders[model] = RemoteEmbedder(self._identity(search), call, paid)
        return self._embedders[model]

    def rank(self, at: int, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Sequence[float] | CallFailed]:
        """For each question the scores of its texts, by the server that the arm's `rerank` names.

        What the run paid for already, or any run where the comparison uses the cache, isn't asked for again. Raises
        RunStopped.
        """
        search = self._plan.arms[at].reranks
        assert search is not None
        keys = [_key(self._identity(search), question, texts) for question, texts in asked]
        known = self._store.rankings(keys, None if self._plan.spec.run.cache else self._run_id)
        positions = {example.input: place for place, example in reversed(list(enumerate(self._plan.arms[at].examples)))}
        requests = {
            key: _Request(
                self._unit(at, positions.get(question, NONE)),
                [question, *texts],
                _ranking(question, texts, self._timeout_s),
                key,
            )
            for key, (question, texts) in zip(keys, asked, strict=True)
            if key not in known
        }
        got: dict[str, Ranking | CallFailed] = {**known}
        for key, came in zip(requests, self._sent("rerank", search, list(requests.values())), strict=True):
            if isinstance(came, RunStopped):
                raise came
            got[key] = _kept(key, came) if isinstance(came, Numbers) else came
        for (question, _), key in zip(asked, keys, strict=True):
            if isinstance(one := got[key], Ranking):
                self._reranked[at, question] = Usage(one.input_tokens, 0, 0)
        return [one if isinstance(one := got[key], CallFailed) else one.scores for key in keys]

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

    def _identity(self, search: Search) -> str:
        base_url = provider_named(search.provider, self._plan.spec).base_url.rstrip("/")
        return f"{base_url}#{search.model.partition('/')[2]}"

    @property
    def _timeout_s(self) -> float:
        return self._plan.spec.run.timeout_s

    def _unit(self, at: int, example: int) -> Unit:
        """An example's, or a request's of its own number."""
        if example != NONE:
            return Unit(at, example, 0)
        self._passages_sent += 1
        return Unit(at, NONE, self._passages_sent - 1)

    def _sent(self, purpose: Purpose, search: Search, requests: Sequence[_Request]) -> list[_Came]:
        """What came of each request. Where the run was stopped meanwhile, those that were answered have their answers."""
        came: list[_Came] = [RunStopped("not sent")] * len(requests)
        try:
            if requests:
                self._calls.wait_for(self._all(purpose, search, requests, came))
        except RunStopped as stopped:
            return [stopped if isinstance(one, RunStopped) else one for one in came]
        return came

    async def _all(self, purpose: Purpose, search: Search, requests: Sequence[_Request], came: list[_Came]) -> None:
        """Every request to its end, as many at once as the run sends; what comes of each is put in its place."""
        room = asyncio.Semaphore(self._calls.concurrency)
        server = self._server(search)

        async def one(place: int, request: _Request) -> None:
            async with room:
                most = search.most(request.texts)
                got = await self._calls.ask(search, request.unit, most, lambda: request.send(server), purpose=purpose)
                if isinstance(got, CallFailed):
                    came[place] = got
                    return
                intent, numbers = got
                came[place] = numbers
                cost = _cost(search.price, numbers.usage)
                settled = Settled([Outcome(intent, "answered", numbers.usage, cost, numbers.latency_s)])
                if request.key is not None:
                    settled.entries.append(_kept(request.key, numbers))
                await self._calls.write(settled)

        tasks = [asyncio.ensure_future(one(place, request)) for place, request in enumerate(requests)]
        try:
            await asyncio.gather(*tasks)
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


def _key(identity: str, question: str, texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([identity, question, texts]).encode()).hexdigest()


def _kept(key: str, numbers: Numbers) -> Ranking:
    return Ranking(key, [row[0] for row in numbers.rows], numbers.usage.input)


def _embedded(numbers: Numbers) -> Embedded:
    return Embedded(np.array(numbers.rows, dtype=np.float32), numbers.usage.input)


def _cost(price: Pricer | None, usage: Usage) -> Decimal | None:
    return price.cost(usage) if price else None
