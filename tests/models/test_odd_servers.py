"""Servers and gateways that break HTTP or its habits: what they did may have been billed, and nothing ends a run."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ftvp_core.errors import CallFailed
from ftvp_core.models import posting
from ftvp_core.models.chat import retry_after
from ftvp_core.models.openai_compatible import OpenAICompatible
from ftvp_core.types import Answer, Example, Message, Request

KEY = "sk-a-secret-of-some-length"
RIGHT = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()
DONE = b"data: [DONE]\n\n"


def ask(*parts: bytes | float, stream: bool = False) -> Answer:
    """What becomes of these bytes, sent in these parts with these pauses (s) between. Raises CallFailed."""

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        try:
            for part in parts:
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                else:
                    await asyncio.sleep(part)
        except (ConnectionError, asyncio.CancelledError):  # it was left
            pass
        finally:
            writer.close()

    async def once() -> Answer:
        server = await asyncio.start_server(give, "127.0.0.1", 0)
        model = OpenAICompatible(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "m", KEY)
        try:
            request = Request(Example("1", "?", ("yes",), {}), (Message("user", "?"),), stream=stream)
            return await model.answer(request, 5)
        finally:
            await model.close()
            server.close()

    return asyncio.run(once())


def whole(status: str, body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def streamed(*lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(lines)


def event(content: str | None, reason: str | None = None, **delta: str) -> bytes:
    choice = {"delta": {"content": content, **delta}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconte",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        whole("200 OK", b"not packed", more="Content-Encoding: gzip\r\n"),
        whole("200 OK", gzip.compress(RIGHT)[:-12], more="Content-Encoding: gzip\r\n"),
    ],
    ids=["nothing", "no HTTP", "half", "no chunk", "half a chunk", "two lengths", "header", "no gzip", "half a gzip"],
)
def test_broken_http_is_an_attempt_of_unknown_cost_and_is_tried_again(raw: bytes) -> None:
    with pytest.raises(CallFailed) as raised:
        ask(raw)
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "206 Partial Content"])
def test_a_status_that_is_neither_an_answer_nor_a_refusal_has_an_unknown_cost(status: str) -> None:
    with pytest.raises(CallFailed) as raised:
        ask(whole(status, RIGHT))
    assert (raised.value.outcome, raised.value.retry) == ("unknown", False)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout", "520 Odd", "524 A Timeout Occurred"])
def test_what_a_gateway_gave_up_may_have_been_answered(status: str) -> None:
    with pytest.raises(CallFailed, match="HTTP 5") as raised:
        ask(whole(status, b"<html>gateway</html>", "text/html"))
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_body_without_end_is_read_no_further(monkeypatch: pytest.MonkeyPatch, stream: bool, packed: bool) -> None:
    monkeypatch.setattr(posting, "MOST_BYTES", 2_000_000)
    body = event("y" * 1000) * 4000
    more = "Content-Encoding: gzip\r\n" if packed else ""
    with pytest.raises(CallFailed, match="larger than 2,000,000 bytes") as raised:
        ask(
            whole("200 OK", gzip.compress(body) if packed else body, "text/event-stream" if stream else "a/b", more),
            stream=stream,
        )
    assert (raised.value.outcome, raised.value.retry) == ("unknown", False)


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 401 No\r\n\r\n" + f"wrong key: {KEY[:15]}".encode(), 0.1, KEY[15:].encode()),
        (whole("401 No", b" " * (2**16 - 10) + KEY.encode()),),
        (b"HTTP/1.1 401 No\r\nContent-Length: 500\r\n\r\n" + f"wrong key: {KEY[:15]}".encode(),),
        (b"HTTP/1.1 401 No\r\nContent-Length: 500\r\n\r\n" + f"wrong key: {KEY[:15]}".encode(), 3.0),
        (whole("401 No", b'{"error": "' + "".join(f"\\u{ord(char):04x}" for char in KEY).encode() + b'"}'),),
    ],
    ids=["in two parts", "at the cut", "broken off", "slow", "escaped"],
)
def test_no_part_of_a_key_that_a_server_repeats_is_told(parts: Sequence[bytes | float]) -> None:
    with pytest.raises(CallFailed, match=r"HTTP 401: .*\[key\]") as raised:
        ask(*parts)
    assert KEY[:6] not in str(raised.value)
    assert (raised.value.outcome, raised.value.stops) == ("refused", "provider")


def test_an_error_with_status_200_is_told_in_the_servers_words() -> None:
    body = json.dumps({"error": {"message": f"no capacity for {KEY}", "code": 529}}).encode()
    with pytest.raises(CallFailed, match=r"isn't a chat completion: no capacity for \[key\]") as raised:
        ask(whole("200 OK", body))
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


@pytest.mark.parametrize(
    "lines",
    [
        (event("ye"), event("s", "stop"), DONE),
        (event("ye").replace(b"\n", b"\r\n"), event("s", "stop").replace(b"\n", b"\r\n")),
        (b": hello\n\nevent: message\nid: 1\n", event("yes"), b": ping\n\n", b"data:\n\n", DONE),
        (b'data: {"choices":\ndata: [{"delta": {"content": "yes"}}]}\n\n', DONE),
        (event("ye").rstrip() + b"\n", event("s").rstrip() + b"\n", b"data: [DONE]"),
        (event("yes"), DONE.rstrip()),
        (b": " + b"x" * 700_000 + b"\n", event("yes"), DONE),
    ],
    ids=["plain", "CRLF", "comments", "two lines", "no empty lines", "no last newline", "long line"],
)
def test_a_stream_is_read_as_its_standard_says(lines: Sequence[bytes]) -> None:
    assert ask(streamed(*lines), stream=True).output == "yes"


def test_a_long_answer_in_one_event_is_whole() -> None:
    assert len(ask(streamed(event("y" * 700_000, "stop"), DONE), stream=True).output) == 700_000


@pytest.mark.parametrize(
    "lines",
    [(DONE,), (b'event: error\ndata: {"message": "boom"}\n\n', DONE), (event("yes"),)],
    ids=["nothing but the end", "an error of its own kind", "no end"],
)
def test_a_stream_without_an_answer_is_no_empty_answer(lines: Sequence[bytes]) -> None:
    with pytest.raises(CallFailed, match="ended early") as raised:
        ask(streamed(*lines), stream=True)
    assert (raised.value.outcome, raised.value.retry) == ("unknown", True)


def test_content_counts_alike_whether_streamed_or_not() -> None:
    assert ask(streamed(event("", "stop"), DONE), stream=True).output == ""
    with pytest.raises(CallFailed, match="no content") as raised:
        ask(streamed(event(None, "stop"), DONE), stream=True)
    assert not raised.value.retry
    refused = ask(streamed(event("", refusal="I can"), event(None, "stop", refusal="not."), DONE), stream=True)
    assert (refused.output, refused.finish_reason) == ("I cannot.", "refusal")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_told_and_not_followed(status: str) -> None:
    """A row after it would fare no better: its provider is stopped."""
    with pytest.raises(CallFailed, match=r"redirects to https://else.invalid/v1/c; set base_url") as raised:
        ask(whole(status, b"", more="Location: https://else.invalid/v1/c?token=1\r\n"))
    assert (raised.value.outcome, raised.value.stops) == ("refused", "provider")


def test_content_in_parts_is_the_text_in_them() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    choice = {"message": {"content": parts}, "finish_reason": "stop"}
    assert ask(whole("200 OK", json.dumps({"choices": [choice]}).encode())).output == "yes"
    chunk = {"choices": [{"delta": {"content": parts}, "finish_reason": "stop"}]}
    assert ask(streamed(b"data: " + json.dumps(chunk).encode() + b"\n\n", DONE), stream=True).output == "yes"
    with pytest.raises(CallFailed, match="no content"):
        ask(whole("200 OK", json.dumps({"choices": [{"message": {"content": parts[:1]}}]}).encode()))


@pytest.mark.parametrize(("said", "read"), [(11.0, 11), (11.5, None), (-1, None), (1e400, None), ("11", None)])
def test_a_count_of_tokens_is_a_whole_number_however_it_is_written(said: object, read: int | None) -> None:
    usage = {"prompt_tokens": said, "completion_tokens": 2}
    assert ask(whole("200 OK", json.dumps(json.loads(RIGHT) | {"usage": usage}).encode())).usage.input == read


def test_a_server_that_does_not_stream_is_answer_enough() -> None:
    answer = ask(whole("200 OK", RIGHT), stream=True)
    assert (answer.output, answer.ttft_s) == ("yes", None)


@pytest.mark.parametrize("said", ["soon", "", "Mon, 01 Jan 2035 00:00:00 +99999999999999999999", "Mon, 99 Jan 2035"])
def test_a_wait_that_is_none_is_not_obeyed(said: str) -> None:
    assert retry_after(said) is None


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_a_wait_is_obeyed_in_each_form_of_a_date(form: str) -> None:
    """RFC 9110, 5.6.7: the one that is written today, and the two that a recipient has to read."""
    wait_s = retry_after((datetime.now(UTC) + timedelta(seconds=90)).strftime(form))
    assert wait_s is not None and 60 < wait_s <= 90


@pytest.mark.parametrize("said", ["-5", "nan", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_wait_that_is_over_is_none(said: str) -> None:
    assert retry_after(said) == 0
