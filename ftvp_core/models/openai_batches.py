"""OpenAI's files and batches, on any server that has them, through the openai client.

A batch is a file of requests that is answered within a day, at half the price, in any order. Retries, back-off
and budget are the runner's.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models.chat import chat_body, completion, refused, server_words, told
from ftvp_core.models.json_schema import refuses_schema
from ftvp_core.types import Answer, Request

if TYPE_CHECKING:
    from openai.types import Batch

#: What a batch may hold (OpenAI's Batch API guide, 2026-11): requests, and bytes of their file.
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
#: Within which a batch is answered: the only one that there is; as it is asked for, and in seconds.
WINDOW: Final = "24h"
WINDOW_S = 86_400.0
#: States that a batch doesn't leave.
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
#: What a batch fails by when more tokens wait than its account may have (90,000 for some): nothing of it was run.
QUEUE_IS_FULL = "token_limit_exceeded"
#: Seconds for one call about a batch; a file of 200 MB is sent or fetched within them.
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 20.0
#: How much older than our plan a batch may say it is: the two clocks differ.
CLOCKS_DIFFER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as its provider tells of it. `cause`: its provider's words for why it failed.

    `queue_is_full`: it failed because of what is queued already; a smaller one, or a later one, may not.
    """

    id: str
    state: str
    completed: int | None
    failed: int
    files: tuple[str, ...]
    cause: str | None
    queue_is_full: bool

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


def identity(base_url: str, model: str) -> str:
    """For the cache: a batch's answers have no latency, so they don't stand in for single calls' or those for them."""
    return f"{base_url.rstrip('/')}#{model}#batch"


def request_line(name: str, base_url: str, model: str, request: Request) -> bytes:
    """A line of a batch's file; the answer comes back under the same name."""
    body = chat_body(base_url, model, request)
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


class OpenAIBatches:
    """One server's batches. Make it inside a running event loop, close it there. All of it raises CallFailed."""

    def __init__(self, base_url: str, api_key: str | None) -> None:
        from openai import AsyncOpenAI, Timeout

        self._api_key = api_key
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # it insists on one, and takes OPENAI_API_KEY, whatever server this is
            max_retries=0,
            timeout=Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )
        self._client.organization = self._client.project = None  # which it takes from the environment too

    async def close(self) -> None:
        await self._client.close()

    async def upload(self, lines: IO[bytes]) -> str:
        """Send a file of requests; returns its id."""
        with self._calls():
            return (await self._client.files.create(file=("requests.jsonl", lines), purpose="batch")).id

    async def create(self, file_id: str, metadata: Mapping[str, str]) -> RemoteBatch:
        """From here on it is worked on, and billed. Where that isn't sure the outcome is `unknown`: `find` tells."""
        with self._calls():
            return _remote(
                await self._client.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window=WINDOW,
                    metadata=dict(metadata),
                ),
                self._api_key,
            )

    async def find(self, metadata: Mapping[str, str], since: float) -> RemoteBatch | None:
        """The batch with this metadata, among those made since then (Unix seconds); None where there is none."""
        with self._calls():
            async for one in self._client.batches.list(limit=100):  # the newest first
                if metadata.items() <= dict(one.metadata or {}).items():  # a server may add its own
                    return _remote(one, self._api_key)
                if (one.created_at or since) < since - CLOCKS_DIFFER_S:
                    return None
        return None

    async def get(self, batch_id: str) -> RemoteBatch:
        with self._calls():
            return _remote(await self._client.batches.retrieve(batch_id), self._api_key)

    async def cancel(self, batch_id: str) -> None:
        """Ask for its end. What is under way is still answered, and billed."""
        with self._calls():
            await self._client.batches.cancel(batch_id)

    async def answers(self, batch: RemoteBatch) -> dict[str, Answer | CallFailed]:
        """What came of an ended batch's requests, by name: of two lines with one name the first."""
        found: dict[str, Answer | CallFailed] = {}
        for file_id in batch.files:
            async for line in self._lines(file_id):
                name, answer = self._read(line)
                if name is not None:
                    found.setdefault(name, answer)
        return found

    async def _lines(self, file_id: str) -> AsyncIterator[bytes]:
        """Split at newlines alone: a line of JSON may hold other separators that text is split at."""
        rest = b""
        with self._calls():
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for chunk in response.iter_bytes():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line
        yield rest

    def _read(self, line: bytes) -> tuple[str | None, Answer | CallFailed]:
        """A line's name and what it says. A line that can't be read has no name: its request is missed instead."""
        unread = CallFailed("the batch's line can't be read", outcome="unknown", retry=True)
        try:
            loaded = json.loads(line)
            name = loaded["custom_id"]
            response, error = loaded.get("response"), loaded.get("error")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None, unread
        if not isinstance(name, str):
            return None, unread
        if isinstance(response, dict) and response.get("status_code") == 200:
            try:
                return name, completion(response.get("body"), None)
            except CallFailed as failure:
                return name, failure
        if isinstance(response, dict) and isinstance(status := response.get("status_code"), int):
            text = json.dumps(response.get("body"))
            refusal = refused(status, None, text, self._api_key)
            return name, SchemaRefused(str(refusal), status) if refuses_schema(status, text) else refusal
        return name, self._not_run(error)

    def _not_run(self, error: Any) -> CallFailed:
        """A request that the batch ended without: billed nothing."""
        code = error.get("code") if isinstance(error, dict) else None
        words = server_words(json.dumps(error), self._api_key) if isinstance(error, dict) else ""
        return CallFailed(
            words or told(code or "the batch ended without it", self._api_key), outcome="refused", retry=True
        )

    @contextmanager
    def _calls(self) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            wait = error.response.headers.get("retry-after")
            raise refused(error.status_code, wait, _text(error), self._api_key) from None
        except (openai.OpenAIError, httpx2.HTTPError, ValueError, OSError) as error:
            cause = f"connection lost or no answer of a batch's ({type(error).__name__})"
            raise CallFailed(cause, outcome="unknown", retry=True) from None


def _text(error: Any) -> str:
    return json.dumps({"error": error.body}) if error.body is not None else str(error)


def _remote(batch: "Batch", api_key: str | None) -> RemoteBatch:
    """The client checks nothing that comes in: a server may leave out what it likes."""
    counts = batch.request_counts
    errors: Sequence[Any] = (batch.errors and batch.errors.data) or ()
    files = tuple(one for one in (batch.output_file_id, batch.error_file_id) if one)
    if not isinstance(batch.id, str) or not isinstance(batch.status, str):
        raise CallFailed("the answer isn't a batch", outcome="unknown", retry=True)
    return RemoteBatch(
        batch.id,
        batch.status[:16],
        getattr(counts, "completed", None),
        getattr(counts, "failed", None) or 0,
        files,
        "; ".join(told(one.message, api_key) for one in errors[:3]) or None,
        any(one.code == QUEUE_IS_FULL for one in errors),
    )
