"""Any server that speaks OpenAI's chat completions, over aiohttp.

aiohttp because the openai client and httpx rescan their connection pool for each request: 2-3 ms of CPU,
and at 64 in flight a reported p95 of 295 ms for a true 100. Retries, back-off and budget are the runner's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models.json_schema import refuses_schema, response_format
from ftvp_core.types import Answer, Request, Usage

OPENAI = "https://api.openai.com/v1"
#: Statuses that no retry and no other row can change: the key or the account is wrong, or the model, or the right to
#: use it (a 403 is often of one model alone).
WRONG_PROVIDER = {401, 402}
WRONG_MODEL = {403, 404, 405}
#: Statuses after which another try may succeed.
TRANSIENT = {408, 409, 425, 429}
#: Who asks for a longer wait than a year means never.
LONGEST_WAIT_S = 366 * 86_400.0
#: A gateway gave up waiting; what stands behind it may have answered, and billed.
GATEWAY = {502, 504}
#: More tokens than this in one request are a server's mistake: as good as no count.
MOST_TOKENS = 10**9
#: A shorter key is a placeholder (`EMPTY`, `none`): hiding it would only break words.
SHORTEST_SECRET = 8


class OpenAICompatible:
    """One model on one server. Make it inside a running event loop, close it there."""

    def __init__(self, base_url: str, model: str, api_key: str | None) -> None:
        self.identity = f"{base_url.rstrip('/')}#{model}"
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._api_key = api_key
        # OpenAI itself has renamed the key and refuses the old one for its newer models.
        self._limit_key = "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            connector=aiohttp.TCPConnector(limit=0),  # the runner limits what is in flight
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline is an attempt's, set in `answer`
        )

    async def close(self) -> None:
        await self._session.close()

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """Send one request. Raises CallFailed, which says whether the server may have billed it."""
        body = json.dumps(self._body(request), ensure_ascii=False).encode()
        started = time.perf_counter()
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(
                    self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    text, wait = await _text(response), response.headers.get("Retry-After")
                    failure = _refused(response.status, wait, text, self._api_key)
                    if request.output_schema is not None and refuses_schema(response.status, text):
                        raise SchemaRefused(str(failure), response.status)
                    raise failure
                if request.stream:
                    return await _streamed(response, started, self._api_key)
                raw = await response.read()
                latency_s = time.perf_counter() - started
        except TimeoutError:
            raise CallFailed(
                f"no answer within {timeout_s:g} s", outcome="unknown", retry=True, latency_s=timeout_s
            ) from None
        except aiohttp.ClientConnectorError as error:
            raise CallFailed(f"can't connect to {error.host}:{error.port}", outcome="unsent", retry=True) from None
        except UnicodeDecodeError:
            raise CallFailed("the stream isn't UTF-8", outcome="unknown", retry=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(f"connection lost ({type(error).__name__})", outcome="unknown", retry=True) from None
        return _parsed(raw, latency_s)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [message._asdict() for message in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            self._limit_key: request.max_tokens,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if request.output_schema is not None:
            body["response_format"] = response_format(request.output_schema)
        if request.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(value)))
    except ValueError:
        pass
    try:
        return min(LONGEST_WAIT_S, max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    except (ValueError, TypeError):
        return None


def _refused(status: int, wait: str | None, text: str, api_key: str | None) -> CallFailed:
    no_quota = "insufficient_quota" in text
    return CallFailed(
        f"HTTP {status}{': ' + message if (message := _message(text, api_key)) else ''}",
        outcome="unknown" if status in GATEWAY else "refused",
        retry=(status in TRANSIENT or status >= 500) and not no_quota,
        retry_after_s=retry_after(wait),
        stops="provider" if status in WRONG_PROVIDER or no_quota else "model" if status in WRONG_MODEL else None,
        status=status,
    )


async def _text(response: aiohttp.ClientResponse) -> str:
    return (await response.content.read(4096)).decode(errors="replace")


def _message(text: str, api_key: str | None) -> str:
    """The server's own words for an error, one short line. Some servers repeat the key they were sent: not here."""
    if api_key and len(api_key) >= SHORTEST_SECRET:
        text = text.replace(api_key, "[key]")
    try:
        loaded = json.loads(text)
        error = loaded.get("error", loaded)
        said = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        said = text
    return _whole(" ".join(str(said).split()))[:200]


def _parsed(raw: bytes, latency_s: float) -> Answer:
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise CallFailed(
            "the answer isn't a chat completion", outcome="unknown", retry=True, latency_s=latency_s
        ) from None
    return _answer(
        content,
        refusal,
        reason=choice.get("finish_reason"),
        usage=body.get("usage"),
        latency_s=latency_s,
    )


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
            raise CallFailed(f"the stream broke off: {_message(data, api_key)}", outcome="unknown", retry=True)
        usage = chunk.get("usage") or usage
        if text:
            first = first if first is not None else time.perf_counter() - started
            parts.append(text)
        reason = next((said for _, said in choices if said), reason)
    if not complete and reason is None:
        raise CallFailed("the stream ended early", outcome="unknown", retry=True)
    latency_s = time.perf_counter() - started
    return _answer("".join(parts), None, reason=reason, usage=usage, latency_s=latency_s, ttft_s=first)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The data of server-sent events."""
    async for line in response.content:
        if line.startswith(b"data:"):
            yield line[5:].strip().decode()


def _answer(
    content: Any, refusal: Any, *, reason: Any, usage: Any, latency_s: float, ttft_s: float | None = None
) -> Answer:
    """A refusal is an answer (and hardly a right one); null content without one is none."""
    tokens = _usage(usage)
    text = content if content is not None else refusal
    if not isinstance(text, str):
        raise NoContent(tokens, latency_s)
    if content is None:
        reason = "refusal"
    said = _whole(reason)[:32] if isinstance(reason, str) else None
    return Answer(_whole(text), tokens, latency_s, ttft_s, finish_reason=said)


def _whole(text: str) -> str:
    """JSON can escape half a surrogate pair, which is no text: it is shown as U+FFFD, like any broken byte."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class NoContent(CallFailed):
    """The server answered, and maybe billed, without content. Not tried again: it would be billed again."""

    def __init__(self, usage: Usage, latency_s: float) -> None:
        super().__init__("the answer has no content", outcome="unknown", latency_s=latency_s)
        self.usage = usage


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    input_, cached = _count(usage.get("prompt_tokens")), 0
    if isinstance(details, dict):
        cached = _count(details.get("cached_tokens")) or 0
    if input_ is not None and cached > input_:  # a part larger than the whole: what was billed isn't known
        input_ = None
    return Usage(input_, cached, _count(usage.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None
