"""A small server of OpenAI's chat completions that knows the truth, counts what it served, and fails on purpose.

A prompt that holds `[ex-17]` is answered `yes` (right) or `no` by a draw from (model, example): the true accuracy is
known to the row. Faults are drawn from (model, example, attempt): the same whatever the order.

It takes files and batches too (`tests/fault_batches.py`), which answer from the same truth.
"""

import asyncio
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.fault_batches import Batches

EXAMPLE = re.compile(r"\[ex-(\d+)\]")
#: Tokens that each answer is billed.
TOKENS_IN, TOKENS_OUT = 11, 2
#: Answers that are neither right nor wrong at first sight, by their fault.
ODD: Mapping[str, dict[str, Any]] = {
    "empty": {"content": ""},
    "zero": {"content": "0"},
    "false": {"content": False},
    "refusal": {"content": None, "refusal": "I can't."},
    "length": {"content": "ye"},
}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def draw(*named: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, named)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def is_right(model: str, example: int, share: float = 0.7) -> bool:
    return draw("right", model, example) < share


def example_of(body: Mapping[str, Any]) -> int:
    found = EXAMPLE.findall(" ".join(one["content"] for one in body["messages"] if one["role"] == "user"))
    return int(found[-1]) if found else 0


def answer_of(model: str, example: int) -> str:
    return "yes" if is_right(model, example) else "no"


@dataclass
class Faults:
    """Shares of requests that fail in each way; they add up to 1 at the most. `contrary` ones get the other answer."""

    shares: Mapping[str, float] = field(default_factory=dict)
    latency_s: float = 0.01
    missing_model: str | None = None
    forbidden_model: str | None = None
    #: What is done with a `response_format`: `native` holds to it, `refuse` answers 400, `ignore` answers prose.
    json_mode: str = "native"
    #: Without a mode of its own: the shares of first answers, and of repairs, that are JSON all the same.
    json_share: float = 0.0
    repaired_share: float = 1.0
    #: What each answer is billed, whatever `max_tokens` asked for.
    tokens_out: int = TOKENS_OUT
    #: Re-ranking is billed by searches, as Cohere does, and the tokens that were read aren't said.
    search_units: bool = False


class Served:
    """What the server knows."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.url = ""
        self.requests = 0
        self.in_flight = self.most_in_flight = 0  # answers being computed
        self.billed = Counter[str]()  # answers computed, by model
        self.attempts = Counter[tuple[str, int]]()
        self.answered = Counter[tuple[str, int]]()
        self.messages: list[list[dict[str, str]]] = []
        self.keys: set[str] = set()
        self.batches = Batches(self._in_batch)
        self.embedded: list[list[str]] = []  # texts of each request that was answered
        self.reranked: list[tuple[str, list[str]]] = []
        self.search_requests = self.search_tokens = 0
        self.formats: list[dict[str, Any]] = []  # the response formats that were asked for
        self.prompted = self.repairs = 0
        self.first_at = self.last_at = 0.0  # of requests taken and answers computed, on this machine's clock

    @property
    def asked(self) -> list[str]:
        return [messages[-1]["content"] for messages in self.messages]

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.first_at = self.first_at or time.monotonic()
        body = await request.json()
        self.requests += 1
        self.messages.append(body["messages"])
        self.keys.add(request.headers.get("Authorization", ""))
        model = body["model"]
        example = example_of(body)
        self.attempts[model, example] += 1
        fault = self._fault(model, example, self.attempts[model, example])
        if fault == "401-echo":
            said = f"wrong key: {request.headers.get('Authorization', '').removeprefix('Bearer ')}"
            return web.json_response({"error": {"message": said}}, status=401)
        if fault is not None and fault in _REFUSALS:
            status, headers, error = _REFUSALS[fault]
            return web.json_response({"error": error}, status=status, headers=headers())
        asked, is_repair = body.get("response_format"), "can't be used" in body["messages"][-1]["content"]
        if asked is not None:
            self.formats.append(asked)
            if self.faults.json_mode == "refuse":
                said = "response_format of type json_schema is not supported"
                return web.json_response({"error": {"message": said}}, status=400)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(3600 if fault == "hang" else self.faults.latency_s)
        finally:
            self.in_flight -= 1
        self.billed[model] += 1
        self.answered[model, example] += 1
        self.last_at = time.monotonic()
        if fault == "drop":
            assert request.transport is not None
            request.transport.abort()
        answer = "yes" if is_right(model, example) != (fault == "contrary") else "no"
        if asked is not None or "JSON Schema" in body["messages"][0]["content"]:
            self.prompted, self.repairs = self.prompted + (asked is None), self.repairs + is_repair
            answer = self._structured(model, example, answer, asked, is_repair=is_repair)
        if body.get("stream"):
            return await self._stream(request, answer, broken=fault == "reset")
        if fault == "malformed":
            return web.Response(text='{"choices": [{"mess', content_type="application/json")
        message: dict[str, Any] = {"role": "assistant", "content": answer}
        usage: dict[str, int] | None = {"prompt_tokens": TOKENS_IN, "completion_tokens": self.faults.tokens_out}
        if fault == "null":
            message["content"], usage = None, None
        message |= ODD.get(fault or "", {})
        reason = "length" if fault == "length" else "stop"
        return web.json_response({"choices": [{"message": message, "finish_reason": reason}], "usage": usage})

    def _in_batch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request of a batch, answered and billed."""
        model, example = body["model"], example_of(body)
        self.requests += 1
        self.billed[model] += 1
        self.attempts[model, example] += 1
        self.answered[model, example] += 1
        answer, asked = answer_of(model, example), body.get("response_format")
        if asked is not None:
            self.formats.append(asked)
        if asked is not None or "JSON Schema" in body["messages"][0]["content"]:
            self.prompted += asked is None
            answer = self._structured(model, example, answer, asked, is_repair=False)
        message = {"role": "assistant", "content": answer}
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    async def embed(self, request: web.Request) -> web.StreamResponse:
        """Vectors of letter counts: a text is nearest to one with its letters. A token is a word."""
        body = await request.json()
        texts = body["input"]
        if refusal := self._refusal(body["model"], len(self.embedded), texts):
            return refusal
        self.embedded.append(texts)
        tokens = sum(len(text.split()) for text in texts)
        self.search_tokens += tokens
        await asyncio.sleep(self.faults.latency_s)
        data = [
            {"index": at, "embedding": [float(text.lower().count(letter)) for letter in LETTERS]}
            for at, text in enumerate(texts)
        ]
        return web.json_response({"data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    async def rerank(self, request: web.Request) -> web.StreamResponse:
        """The shorter a document, the better."""
        body = await request.json()
        if refusal := self._refusal(body["model"], len(self.reranked), [body["query"]]):
            return refusal
        self.reranked.append((body["query"], body["documents"]))
        tokens = sum(len(text.split()) for text in (body["query"], *body["documents"]))
        self.search_tokens += tokens
        results = [{"index": at, "relevance_score": 1 / len(text)} for at, text in enumerate(body["documents"])]
        results.sort(key=lambda one: -one["relevance_score"])
        if self.faults.search_units:
            billed = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
            return web.json_response({"results": results, "meta": billed})
        return web.json_response({"results": results, "usage": {"total_tokens": tokens}})

    def _refusal(self, model: str, answered: int, texts: list[str]) -> web.Response | None:
        self.search_requests += 1
        fault = self._fault(model, answered, self.search_requests)
        if any("too long" in text for text in texts):
            fault = "400"
        if fault is None or fault not in _REFUSALS:
            return None
        status, headers, error = _REFUSALS[fault]
        return web.json_response({"error": error}, status=status, headers=headers())

    def _structured(self, model: str, example: int, answer: str, asked: Any, *, is_repair: bool) -> str:
        """The answer as `{"answer": …}`, or as prose."""
        share = self.faults.repaired_share if is_repair else self.faults.json_share
        is_json = draw("json", model, example, is_repair) < share
        held = asked is not None and self.faults.json_mode == "native"
        return json.dumps({"answer": answer}) if held or is_json else f"I would say {answer}."

    async def tell(self, request: web.Request) -> web.Response:
        """For a bench in another process: what was served since the last time this was asked, and for how long."""
        told = {"requests": self.requests, "window_s": self.last_at - self.first_at}
        self.requests, self.first_at, self.last_at = 0, 0.0, 0.0
        return web.json_response(told)

    async def _stream(self, request: web.Request, answer: str, *, broken: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks: list[dict[str, Any]] = [{"choices": [{"delta": {"content": char}}]} for char in answer]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT}
        chunks.append({"choices": [], "usage": usage})
        for at, chunk in enumerate(chunks):
            if broken and at == 1:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await asyncio.sleep(0.005)
        await response.write(b"data: [DONE]\n\n")
        return response

    def _fault(self, model: str, example: int, attempt: int) -> str | None:
        if model == self.faults.missing_model:
            return "404"
        if model == self.faults.forbidden_model:
            return "403"
        drawn, low = draw("fault", model, example, attempt), 0.0
        for name, share in self.faults.shares.items():
            if low <= drawn < low + share:
                return name
            low += share
        return None


def _in_a_moment() -> dict[str, str]:
    return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)}


_REFUSALS: Mapping[str, Any] = {
    "429": (429, lambda: {"Retry-After": "0"}, {"message": "slow down"}),
    "429-date": (429, _in_a_moment, {"message": "slow down"}),
    "429-day": (429, lambda: {"Retry-After": "86400"}, {"message": "come back tomorrow"}),
    "429-ever": (429, lambda: {"Retry-After": "inf"}, {"message": "never again"}),
    "403": (403, dict, {"message": "not your model"}),
    "404": (404, dict, {"message": "no such model"}),
    "401": (401, dict, {"message": "wrong key"}),
    "quota": (429, dict, {"message": "no money left", "code": "insufficient_quota"}),
    "500": (500, dict, {"message": "our fault"}),
    "400": (400, dict, {"message": "this row is too long"}),
}


@contextmanager
def fault_server(latency_s: float = 0.01, **shares: float) -> Iterator[Served]:
    """Serve on a free loopback port from a thread of its own. `shares` by fault, `_` for `-` (`429` as `f429`)."""
    named = {
        name.removeprefix("f").replace("_", "-") if name.startswith("f4") or name.startswith("f5") else name: share
        for name, share in shares.items()
    }
    served = Served(Faults(named, latency_s))
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        application = web.Application(client_max_size=2**28)
        application.router.add_post("/v1/chat/completions", served.complete)
        application.router.add_post("/v1/embeddings", served.embed)
        application.router.add_post("/v1/rerank", served.rerank)
        application.router.add_get("/v1/served", served.tell)
        served.batches.add_to(application)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        started.set()

    thread = threading.Thread(target=_run_loop, args=(loop, serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _run_loop(loop: asyncio.AbstractEventLoop, begin: Coroutine[None, None, None]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(begin)
    loop.run_forever()


if __name__ == "__main__":  # beside a bench, in a process of its own
    with fault_server(latency_s=0.1) as alone:
        print(alone.url, flush=True)
        time.sleep(3600)
