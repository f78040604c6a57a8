"""Answers that no server should give: each is a failed call with its cause, never a crash, and never a wrong figure."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from ftvp_core.errors import CallFailed
from ftvp_core.models.openai_compatible import OpenAICompatible
from ftvp_core.types import Answer, Example, Message, Request

RIGHT = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
KEY = "sk-a-secret-of-some-length"


def ask(*events: bytes, stream: bool = False, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """What becomes of this body, sent once by a server on the loopback. Raises CallFailed."""
    body = b"".join(b"data: %s\n\n" % event for event in events) if stream else b"".join(events)

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    async def once() -> Answer:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", give)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model = OpenAICompatible(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "m", KEY)
        try:
            request = Request(Example("1", "?", ("yes",), {}), (Message("user", "?"),), stream=stream)
            return await model.answer(request, 5)
        finally:
            await model.close()
            await runner.cleanup()

    return asyncio.run(once())


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": "yes"}]}',
        b'{"error": {"message": "overloaded"}}',
        b"[" * 100_000,
        b"\xff\xfe\xff",
    ],
)
def test_a_body_of_another_shape_is_no_answer_and_its_cost_is_unknown(body: bytes) -> None:
    with pytest.raises(CallFailed, match="isn't a chat completion") as raised:
        ask(body)
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


@pytest.mark.parametrize(
    "event",
    [
        b"null",
        b"[]",
        b'{"choices": [null]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b"\xff\xfe",
        b'{"error": {"message": "overloaded"}}',
    ],
)
def test_a_stream_of_another_shape_is_no_empty_answer_even_if_it_ends_well(event: bytes) -> None:
    with pytest.raises(CallFailed, match="stream") as raised:
        ask(event, b"[DONE]", stream=True)
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


def test_a_stream_that_breaks_off_says_why_without_the_key() -> None:
    with pytest.raises(CallFailed, match="overloaded") as raised:
        ask(dumped({"error": {"message": f"overloaded {KEY}"}}), b"[DONE]", stream=True)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("content", [None, 5, ["yes"], {"text": "yes"}])
def test_content_that_is_no_text_is_not_asked_for_again(content: Any) -> None:
    with pytest.raises(CallFailed, match="no content") as raised:
        ask(dumped({"choices": [{"message": {"content": content}}]}))
    assert (raised.value.outcome, raised.value.retry) == ("unknown", False)


def test_half_a_character_is_stored_as_a_broken_one() -> None:
    said = ask(dumped({"choices": [{"message": {"content": "half \ud83d"}, "finish_reason": "\ud83d" * 50}]}))
    assert said.output == "half \N{REPLACEMENT CHARACTER}"
    assert said.finish_reason == "\N{REPLACEMENT CHARACTER}" * 32
    with pytest.raises(CallFailed) as raised:
        ask(dumped({"error": {"message": "half \ud83d"}}), status=400)
    assert str(raised.value).encode().endswith("\N{REPLACEMENT CHARACTER}".encode())


def test_what_a_fastapi_server_says_is_told_without_the_key() -> None:
    with pytest.raises(CallFailed, match=r"^HTTP 400: Server is pinned to '\.', not to '\[key\]'$"):
        ask(dumped({"detail": f"Server is pinned to '.', not to '{KEY}'"}), status=400)


@pytest.mark.parametrize("reason", [None, 7, {"type": "stop"}])
def test_a_reason_that_is_no_text_is_left_out(reason: Any) -> None:
    said = ask(dumped({"choices": [{"message": {"content": "yes"}, "finish_reason": reason}]}))
    assert (said.output, said.finish_reason) == ("yes", None)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2}, (10, 0, 2)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}, (10, 8, 2)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 80}}, (None, 80, 2)),
        ({"prompt_tokens": 10**20, "completion_tokens": -1}, (None, 0, None)),
        ({"prompt_tokens": True, "completion_tokens": "2"}, (None, 0, None)),
        ({"prompt_tokens": 1.5, "prompt_tokens_details": 3}, (None, 0, None)),
        (None, (None, None, None)),
        ([], (None, None, None)),
    ],
)
def test_a_count_that_cannot_be_is_unknown(usage: Any, counted: tuple[int | None, ...]) -> None:
    found = ask(dumped({**RIGHT, "usage": usage})).usage
    assert (found.input, found.cached_input, found.output) == counted


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_refusal_not_another_request_that_is_not_counted(status: int) -> None:
    with pytest.raises(CallFailed, match=str(status)) as raised:
        ask(dumped(RIGHT), status=status, headers={"Location": "/v1/chat/completions"})
    assert (raised.value.outcome, raised.value.retry) == ("refused", False)
