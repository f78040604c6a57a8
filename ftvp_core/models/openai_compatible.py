"""Any server that speaks OpenAI's chat completions, over aiohttp.

aiohttp because the openai client and httpx rescan their connection pool for each request: 2-3 ms of CPU,
and at 64 in flight a reported p95 of 295 ms for a true 100. Retries, back-off and budget are the runner's.
"""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models.chat import chat_answer, chat_body, completion, content_text, refused, server_words
from ftvp_core.models.json_schema import refuses_schema
from ftvp_core.models.posting import body_of, parts_of, posted, session
from ftvp_core.types import Answer, Request


def identity(base_url: str, model: str) -> str:
    """For the cache: what makes two requests the same question, beside what is asked."""
    return f"{base_url.rstrip('/')}#{model}"


class OpenAICompatible:
    """One model on one server. Make it inside a running event loop, close it there."""

    def __init__(self, base_url: str, model: str, api_key: str | None) -> None:
        self.identity = identity(base_url, model)
        self._base_url = base_url
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._api_key = api_key
        self._session = session(base_url)

    async def close(self) -> None:
        await self._session.close()

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """Send one request. Raises CallFailed, which says whether the server may have billed it."""
        body = json.dumps(chat_body(self._base_url, self._model, request), ensure_ascii=False).encode()
        refusal = refused if request.output_schema is None else _refused_with_schema
        started = time.perf_counter()
        async with posted(self._session, self._url, body, timeout_s, self._api_key, refusal) as response:
            if request.stream and response.content_type != "application/json":  # some servers don't stream, and say so
                return await _streamed(response, started, self._api_key)
            raw = await body_of(response)
            latency_s = time.perf_counter() - started
        return _parsed(raw, latency_s, self._api_key)


def _refused_with_schema(status: int, wait: str | None, text: str, api_key: str | None) -> CallFailed:
    failure = refused(status, wait, text, api_key)
    return SchemaRefused(str(failure), status) if refuses_schema(status, text) else failure


def _parsed(raw: bytes, latency_s: float, api_key: str | None) -> Answer:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and body.get("error") and not body.get("choices"):
        said = server_words(raw.decode(errors="replace"), api_key)
        raise CallFailed(f"the answer isn't a chat completion: {said}", outcome="unknown", retry=True)
    return completion(body, latency_s)


@dataclass(slots=True)
class _Heard:
    """What a stream has said so far."""

    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reason: Any = None
    usage: Any = None
    has_choice: bool = False

    def add(self, chunk: Any) -> bool:
        """Whether it says something."""
        choices = [(choice.get("delta") or {}, choice.get("finish_reason")) for choice in chunk.get("choices") or ()]
        said = [text for delta, _ in choices if (text := content_text(delta.get("content"))) is not None]
        refused = [text for delta, _ in choices if (text := delta.get("refusal")) is not None]
        is_something = bool("".join(said) + "".join(refused))
        self.texts += said
        self.refusals += refused
        self.has_choice = self.has_choice or bool(choices)
        self.reason = next((why for _, why in choices if why), self.reason)
        self.usage = chunk.get("usage") or self.usage
        return is_something

    def answer(self, latency_s: float, ttft_s: float | None) -> Answer:
        """As if it had come at once: a refusal has no content, and content that never came is none."""
        content, refusal = ("".join(parts) if parts else None for parts in (self.texts, self.refusals))
        if refusal:
            content = content or None
        return chat_answer(content, refusal, reason=self.reason, usage=self.usage, latency_s=latency_s, ttft_s=ttft_s)


async def _streamed(response: aiohttp.ClientResponse, started: float, api_key: str | None) -> Answer:
    heard = _Heard()
    first = None
    complete = False
    async for data in _events(response):
        if data == b"[DONE]":
            complete = True
            continue
        try:
            chunk = json.loads(data)
            failed = chunk.get("error")
            is_something = heard.add(chunk)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise CallFailed("the stream isn't of chat completion chunks", outcome="unknown", retry=True) from None
        if failed:  # some servers say so inside the stream and end it as if all were well
            said = server_words(data.decode(errors="replace"), api_key)
            raise CallFailed(f"the stream broke off: {said}", outcome="unknown", retry=True)
        if is_something and first is None:
            first = time.perf_counter() - started
    if not heard.has_choice or not (complete or heard.reason):
        raise CallFailed("the stream ended early", outcome="unknown", retry=True)
    return heard.answer(time.perf_counter() - started, first)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of server-sent events (WHATWG HTML, 9.2.6), also of a server that leaves out the line between two."""
    data: list[bytes] = []
    async for line in _lines(response):
        if line.startswith(b"data:"):
            if data and _is_json(b"\n".join(data)):
                yield b"\n".join(data)
                data = []
            data += [said] if (said := line[5:].strip()) else []
        elif not line and data:
            yield b"\n".join(data)
            data = []
    if data:
        yield b"\n".join(data)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """However long: aiohttp's own end at half a megabyte."""
    rest = bytearray()
    async for part in parts_of(response):
        rest += part
        if b"\n" in part:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                yield bytes(line.rstrip(b"\r"))
    yield bytes(rest)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
