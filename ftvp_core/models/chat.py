"""OpenAI's chat completions as JSON: what is sent, what comes back, and what a refusal means."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from ftvp_core.errors import CallFailed
from ftvp_core.models.json_schema import response_format
from ftvp_core.types import Answer, Request, Usage

#: Statuses that no retry and no other row can change: the key or the account is wrong, or the model, or the right to
#: use it (a 403 is often of one model alone).
WRONG_PROVIDER = {401, 402}
WRONG_MODEL = {403, 404, 405}
#: Statuses after which another try may succeed.
TRANSIENT = {408, 409, 425, 429}
#: Who asks for a longer wait than a year means never.
LONGEST_WAIT_S = 366 * 86_400.0
#: A gateway gave up waiting; what stands behind it may have answered, and billed. 520 and 524 are Cloudflare's.
GATEWAY = {502, 504, 520, 524}
#: More tokens than this in one request are a server's mistake: as good as no count.
MOST_TOKENS = 10**9
#: A shorter key is a placeholder (`EMPTY`, `none`): hiding it would only break words.
SHORTEST_SECRET = 8


def chat_body(base_url: str, model: str, request: Request) -> dict[str, Any]:
    """What is sent for one request."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [message._asdict() for message in request.messages],
        "temperature": request.temperature,
        "top_p": request.top_p,
        _limit_key(base_url): request.max_tokens,
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


@cache
def _limit_key(base_url: str) -> str:
    """OpenAI itself has renamed the key and refuses the old one for its newer models."""
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"


def completion(body: Any, latency_s: float | None) -> Answer:
    """The answer of a chat completion's JSON. Raises CallFailed where it is none, or has no content."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = content_text(message.get("content")), message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise CallFailed(
            "the answer isn't a chat completion", outcome="unknown", retry=True, latency_s=latency_s
        ) from None
    return chat_answer(
        content, refusal, reason=choice.get("finish_reason"), usage=body.get("usage"), latency_s=latency_s
    )


def chat_answer(
    content: Any, refusal: Any, *, reason: Any, usage: Any, latency_s: float | None, ttft_s: float | None = None
) -> Answer:
    """A refusal is an answer (and hardly a right one); null content without one is none."""
    tokens = _usage(usage)
    text = content if content is not None else refusal
    if not isinstance(text, str):  # maybe billed; not tried again, as it would be billed again
        raise CallFailed("the answer has no content", outcome="unknown", latency_s=latency_s, usage=tokens)
    if content is None:
        reason = "refusal"
    said = _whole(reason)[:32] if isinstance(reason, str) else None
    return Answer(_whole(text), tokens, latency_s, ttft_s, finish_reason=said)


def _whole(text: str) -> str:
    """JSON can escape what no text holds, half a surrogate pair or NUL: it is shown as U+FFFD, like any broken byte."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details")
    input_, cached = token_count(usage.get("prompt_tokens")), 0
    if isinstance(details, dict):
        cached = token_count(details.get("cached_tokens")) or 0
    if input_ is not None and cached > input_:  # a part larger than the whole: what was billed isn't known
        input_ = None
    return Usage(input_, cached, token_count(usage.get("completion_tokens")))


def token_count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():  # a gateway whose numbers are all floating-point
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None


def content_text(content: Any) -> Any:
    """Content in parts, as Mistral's reasoning models give it, as the text of those that are text. Any other as it is."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    words = [text for text in texts if isinstance(text, str)]
    return "".join(words) if words else None


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return min(LONGEST_WAIT_S, max(0.0, float(value)))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)  # asctime's form names no zone: it is UTC
        return min(LONGEST_WAIT_S, max(0.0, (until - datetime.now(UTC)).total_seconds()))
    except (ValueError, OverflowError):
        return None


def refused(status: int, wait: str | None, text: str, api_key: str | None) -> CallFailed:
    no_quota = "insufficient_quota" in text
    taken = status // 100 == 2  # 201, 202, 206: no answer, and no refusal either
    return CallFailed(
        f"HTTP {status}{': ' + message if (message := server_words(text, api_key)) else ''}",
        outcome="unknown" if taken or status in GATEWAY else "refused",
        retry=(status in TRANSIENT or status >= 500) and not no_quota,
        retry_after_s=retry_after(wait),
        stops="provider" if status in WRONG_PROVIDER or no_quota else "model" if status in WRONG_MODEL else None,
        status=status,
    )


def server_words(text: str, api_key: str | None) -> str:
    """The server's own words for an error, one short line. Some servers repeat the key they were sent: not here."""
    try:
        loaded = json.loads(text)
        error = loaded.get("error", loaded)
        said = (error.get("message") or error.get("detail") or "") if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        said = text
    return told(said, api_key)


def told(said: object, api_key: str | None) -> str:
    """What a server says of an error as one short line, without the key."""
    return _whole(" ".join(_without(api_key, str(said)).split()))[:200]


def _without(api_key: str | None, text: str) -> str:
    """Hide the key, or the part of it that a text ends with: a body may be cut, or break off, inside it."""
    if api_key is None or len(api_key) < SHORTEST_SECRET:
        return text
    text = text.replace(api_key, "[key]")
    part = next((size for size in range(len(api_key) - 1, 3, -1) if text.endswith(api_key[:size])), 0)
    return f"{text[:-part]}[key]" if part else text
