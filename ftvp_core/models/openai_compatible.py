"""Any server that speaks OpenAI's chat completions, over aiohttp.

aiohttp because the openai client and httpx rescan their connection pool for each request: 2-3 ms of CPU,
and at 64 in flight a reported p95 of 295 ms for a true 100. Retries, back-off and budget are the runner's.
"""

import json
import time
from collections.abc import AsyncIterator

import aiohttp

from ftvp_core.errors import CallFailed
from ftvp_core.models.chat import chat_answer, chat_body, completion, server_words
from ftvp_core.models.posting import posted, session
from ftvp_core.types import Answer, Request


class OpenAICompatible:
    """One model on one server. Make it inside a running event loop, close it there."""

    def __init__(self, base_url: str, model: str, api_key: str | None) -> None:
        self.identity = f"{base_url.rstrip('/')}#{model}"
        self._base_url = base_url
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._api_key = api_key
        self._session = session(api_key)

    async def close(self) -> None:
        await self._session.close()

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """Send one request. Raises CallFailed, which says whether the server may have billed it."""
        body = json.dumps(chat_body(self._base_url, self._model, request), ensure_ascii=False).encode()
        started = time.perf_counter()
        async with posted(self._session, self._url, body, timeout_s, self._api_key) as response:
            if request.stream:
                return await _streamed(response, started, self._api_key)
            raw = await response.read()
            latency_s = time.perf_counter() - started
        return _parsed(raw, latency_s)


def _parsed(raw: bytes, latency_s: float) -> Answer:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    return completion(body, latency_s)


async def _streamed(response: aiohttp.ClientResponse, started: float, api_key: str | None) -> Answer:
    parts: list[str] = []
    first = reason = usage = None
    complete = False
    async for data in _events(response):
        if data == "[DONE]":
            complete = True
            continue
        try:
            chunk = json.loads(data)
            failed = chunk.get("error")
            choices = [
                (choice.get("delta") or {}, choice.get("finish_reason")) for choice in chunk.get("choices") or ()
            ]
            texts = [delta.get("content") or "" for delta, _ in choices]
            text = "".join(texts)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise CallFailed("the stream isn't of chat completion chunks", outcome="unknown", retry=True) from None
        if failed:  # some servers say so inside the stream and end it as if all were well
            raise CallFailed(f"the stream broke off: {server_words(data, api_key)}", outcome="unknown", retry=True)
        usage = chunk.get("usage") or usage
        if text:
            first = first if first is not None else time.perf_counter() - started
            parts.append(text)
        reason = next((said for _, said in choices if said), reason)
    if not complete and reason is None:
        raise CallFailed("the stream ended early", outcome="unknown", retry=True)
    latency_s = time.perf_counter() - started
    return chat_answer("".join(parts), None, reason=reason, usage=usage, latency_s=latency_s, ttft_s=first)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The data of server-sent events."""
    async for line in response.content:
        if line.startswith(b"data:"):
            yield line[5:].strip().decode()
