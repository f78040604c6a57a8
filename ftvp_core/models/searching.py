"""Servers that help a search: OpenAI's embeddings, and re-ranking as Cohere, Jina and vLLM speak it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftvp_core.errors import CallFailed
from ftvp_core.models.chat import token_count
from ftvp_core.types import NO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class Numbers:
    """What came back: for each text that was sent, in order, its vector, or its one score."""

    rows: Sequence[Sequence[float]]
    usage: Usage
    latency_s: float


class SearchServer:
    """One model on one server. Make it inside a running event loop, close it there."""

    def __init__(self, base_url: str, model: str, api_key: str | None) -> None:
        from ftvp_core.models.posting import session

        self._base_url = base_url.rstrip("/")
        self._model = model
        self._api_key = api_key
        self._session = session(base_url)

    async def close(self) -> None:
        await self._session.close()

    async def embed(self, texts: Sequence[str], timeout_s: float) -> Numbers:
        """A vector a text. Raises CallFailed."""
        body = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        said, latency_s = await self._post("embeddings", body, timeout_s)
        rows = _in_order(said, "data", "embedding", len(texts))
        if rows is None or not all(_are_numbers(row) and len(row) == len(rows[0]) for row in rows):
            raise _not("embeddings", latency_s)
        return Numbers(rows, _usage(said), latency_s)

    async def rerank(self, query: str, texts: Sequence[str], timeout_s: float) -> Numbers:
        """How well each text answers the query, the higher the better. Raises CallFailed."""
        body = {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}
        said, latency_s = await self._post("rerank", body, timeout_s)
        scores = _in_order(said, "results", "relevance_score", len(texts))
        if scores is None or not _are_numbers(scores):
            raise _not("a re-ranking", latency_s)
        return Numbers([[score] for score in scores], _usage(said), latency_s)

    async def _post(self, path: str, body: dict[str, Any], timeout_s: float) -> tuple[Any, float]:
        from ftvp_core.models.posting import body_of, posted

        raw = json.dumps(body, ensure_ascii=False).encode()
        started = time.perf_counter()
        async with posted(self._session, f"{self._base_url}/{path}", raw, timeout_s, self._api_key) as response:
            answer = await body_of(response)
        latency_s = time.perf_counter() - started
        try:
            return json.loads(answer), latency_s
        except (ValueError, RecursionError):
            return None, latency_s


def _in_order(said: Any, rows: str, value: str, n: int) -> list[Any] | None:
    """The values of `n` rows, each at its `index`; None where it isn't that."""
    try:
        by_index = {row["index"]: row[value] for row in said[rows]}
        return [by_index[at] for at in range(n)] if len(by_index) == n else None
    except (LookupError, TypeError):
        return None


def _are_numbers(row: Any) -> bool:
    return isinstance(row, list) and bool(row) and all(type(one) in (int, float) for one in row)


def _usage(said: Any) -> Usage:
    """OpenAI and vLLM say `prompt_tokens`, Jina `total_tokens`.

    Cohere counts searches, each of up to 100 passages, and says no tokens: what it costs is unknown, as of any answer
    without usage, and what was reserved for it stays held.
    """
    usage = said.get("usage")
    if not isinstance(usage, dict):
        return NO_USAGE
    read = token_count(usage.get("prompt_tokens"))
    read = token_count(usage.get("total_tokens")) if read is None else read
    return Usage(read, 0, 0) if read is not None else NO_USAGE


def _not(what: str, latency_s: float) -> CallFailed:
    return CallFailed(f"the answer isn't {what}", outcome="unknown", retry=True, latency_s=latency_s)
