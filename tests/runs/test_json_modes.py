"""How a server's JSON mode is decided: by one row, once; and what an answer takes in each."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models.json_schema import is_strict
from ftvp_core.runs.json_modes import JsonModes, Replied, Reply
from ftvp_core.schemas import Schema
from ftvp_core.types import Answer, Example, Message, Request, Usage

KEYS = {"type": "object", "properties": {"답": {"type": "string"}}, "required": ["답"]}
SCHEMA = Schema(KEYS, "test")
VALID, PROSE = '{"답": "환불"}', "환불입니다."
REQUEST = Request(Example("1", "q", (), {}), (Message("system", "Be short."), Message("user", "q")), output_schema=KEYS)


class Server:
    """What a server answers: `native` and `first` and `repair`, each an output with its end, or a failure."""

    def __init__(self, native: str | CallFailed, first: str = VALID, repair: str | CallFailed | None = VALID) -> None:
        self.answers = {"native": native, "first": first, "repair": repair}
        self.ends = {"native": "stop", "first": "stop", "repair": "stop"}
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.under_way = self.most = 0

    async def ask(self, request: Request) -> Reply:
        kind = "native" if request.output_schema else "repair" if request.messages[-2].role == "assistant" else "first"
        self.asked.append(kind)
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(50):  # long enough for all who may come to come
            await asyncio.sleep(0)
        self.under_way -= 1
        said = self.answers[kind]
        if said is None or isinstance(said, CallFailed):
            return said
        return Replied(Answer(said, Usage(10, 0, 2), 0.5, 0.1, finish_reason=self.ends[kind]), Decimal(1))


def rows(server: Server, n: int, modes: JsonModes | None = None) -> list[Reply]:
    modes = modes or JsonModes()

    async def all_rows() -> list[Reply]:
        return await asyncio.gather(*(modes.answer("k", REQUEST, SCHEMA, server.ask) for _ in range(n)))

    return asyncio.run(all_rows())


def test_the_first_row_decides_alone_and_the_others_go_side_by_side() -> None:
    server = Server(VALID)
    assert {one.json_mode for one in rows(server, 9) if isinstance(one, Replied)} == {"native"}
    assert (server.asked, server.most) == (["native"] * 9, 8)


@pytest.mark.parametrize("native", [SchemaRefused("HTTP 400", 400), PROSE, '{"other": 1}'])
def test_a_refusal_or_an_answer_that_is_not_held_is_met_once(native: str | CallFailed) -> None:
    server = Server(native)
    found = rows(server, 5)
    assert server.asked == ["native", *["first"] * 5]
    assert all(isinstance(one, Replied) and one.json_mode == "prompted" for one in found)
    system = server.requests[-1].messages[0].content
    assert system.startswith("Be short.\n\n") and '"답"' in system, "the schema in plain words, in its own script"


def test_a_mode_that_seemed_native_is_given_up_at_the_first_answer_that_breaks_it() -> None:
    server, modes = Server(VALID), JsonModes()
    rows(server, 2, modes)
    server.answers["native"] = PROSE
    rows(server, 1, modes)
    rows(server, 2, modes)
    assert server.asked == ["native"] * 3 + ["first"] * 3


@pytest.mark.parametrize("end", ["length", "refusal", "content_filter"])
def test_a_cut_answer_or_a_refusal_says_nothing_of_the_mode(end: str) -> None:
    server, modes = Server('{"답": "환'), JsonModes()
    server.ends["native"] = end
    (one,) = rows(server, 1, modes)
    assert isinstance(one, Replied) and one.json_mode == "native"
    rows(server, 3, modes)
    assert (server.asked, server.most) == (["native"] * 4, 3), "the others needn't wait"


def test_prose_that_was_cut_is_not_held() -> None:
    server = Server(PROSE)
    server.ends["native"] = "length"
    rows(server, 2)
    assert server.asked == ["native", "first", "first"]


def test_a_repaired_answer_took_both_calls() -> None:
    server = Server(SchemaRefused("HTTP 400", 400), PROSE, VALID)
    (one,) = rows(server, 1)
    assert isinstance(one, Replied)
    assert (one.answer.output, one.json_mode, one.cost) == (VALID, "repaired", Decimal(2))
    assert one.answer.usage == Usage(20, 0, 4)
    assert (one.answer.latency_s, one.answer.ttft_s) == (1.0, 0.6)
    said, repair = server.requests[-1].messages[-2:]
    assert said == Message("assistant", PROSE)
    assert "not JSON" in repair.content


@pytest.mark.parametrize("failed", [CallFailed("HTTP 500", outcome="refused"), None])
def test_without_a_repair_the_first_answer_stays_or_the_row_waits(failed: CallFailed | None) -> None:
    (one,) = rows(Server(SchemaRefused("HTTP 400", 400), PROSE, failed), 1)
    if failed is None:
        assert one is None, "its provider is stopped: the row is asked again"
    else:
        assert isinstance(one, Replied) and (one.answer.output, one.json_mode) == (PROSE, "prompted")


def test_a_refusal_in_words_is_not_repaired() -> None:
    server = Server(SchemaRefused("HTTP 400", 400), "I can't.")
    server.ends["first"] = "refusal"
    rows(server, 1)
    assert server.asked == ["native", "first"]


def test_what_an_earlier_process_found_holds() -> None:
    server, modes = Server(VALID), JsonModes()
    modes.remember("k", ["native", "repaired"])
    rows(server, 2, modes)
    assert server.asked == ["first"] * 2


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("change", "strict"),
    [
        (lambda: {}, True),
        (lambda: {"required": []}, False),
        (lambda: {"additionalProperties": True}, False),
        (lambda: {"properties": {"a": {"type": "object", "properties": {}}}}, False),
        (lambda: {"properties": {"a": {"type": "string", "minLength": 1}}}, False),
        (lambda: {"properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        (lambda: {"properties": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]}}, "$defs": {"b": CLOSED}}, True),
        (lambda: {"allOf": []}, False),
    ],
)  # fmt: skip
def test_strict_only_where_openai_enforces_it(change: Callable[[], dict[str, object]], strict: bool) -> None:
    assert is_strict({**CLOSED, **change()}) == strict
