"""How a server is asked for JSON: in a mode of its own, or with the schema in the prompt and one repair.

It is decided once a run for each server, model and schema, by the first row: the others wait for it. A mode of the
server's own holds the schema in every whole answer. Where one doesn't, or the schema is refused, the server has none,
and that row and every later one is prompted.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import astuple, replace
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ftvp_core.candidates.structured import prompted, repairing
from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.schemas import Schema
from ftvp_core.types import Answer, JsonMode, Request, Usage

Asked = Literal["native", "prompted"]
#: Ends that say that the model won't answer: nothing is wrong with the form.
REFUSED = {"content_filter", "refusal"}
BEGINS_JSON = re.compile(r'\s*([\[{"]|-?\d|true|false|null)')


class Replied(NamedTuple):
    """An answer, what it cost, and how it came to be JSON where that was asked."""

    answer: Answer
    cost: Decimal | None
    json_mode: JsonMode | None = None


#: An answer, the failure of the last try, or nothing because the provider or the model is stopped.
Reply = Replied | CallFailed | None
Ask = Callable[[Request], Awaitable[Reply]]


class JsonModes:
    """The modes that are known, by a key of server, model and schema."""

    def __init__(self) -> None:
        self._known: dict[str, Asked] = {}
        self._deciding: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def is_known(self, key: str) -> bool:
        """Whether a row needn't wait for the one that decides."""
        return key in self._known

    def possible(self, key: str) -> tuple[Asked, ...]:
        """The mode, or those that it may turn out to be, the likelier first."""
        known = self._known.get(key)
        return (known,) if known else ("native", "prompted")

    def remember(self, key: str, seen: Iterable[JsonMode]) -> None:
        """How earlier answers, of this run or of the cache, came to be JSON."""
        for mode in seen:
            self._keep(key, asked_by(mode))

    async def answer(self, key: str, request: Request, schema: Schema, ask: Ask) -> Reply:
        """One row's request with an output schema, answered in the server's mode."""
        if key not in self._known:
            async with self._deciding[key]:
                if key not in self._known:
                    return await self._answer(key, request, schema, ask)
        return await self._answer(key, request, schema, ask)

    async def _answer(self, key: str, request: Request, schema: Schema, ask: Ask) -> Reply:
        if self._known.get(key) != "prompted":
            got = await ask(request)
            if isinstance(got, Replied):
                if self.is_held(key, schema, got.answer):
                    return got._replace(json_mode="native")
            elif isinstance(got, SchemaRefused):
                self.refused(key)
            else:
                return got
        return await _prompted(request, schema, ask)

    def is_held(self, key: str, schema: Schema, answer: Answer) -> bool:
        """Whether an answer that was asked for natively is one. Where it isn't, the server has no mode of its own."""
        held = schema.problem(answer.output) is None or _says_nothing(answer)
        self._keep(key, "native" if held else "prompted")
        return held

    def refused(self, key: str) -> None:
        """The server takes no schema, or not this one."""
        self._keep(key, "prompted")

    def _keep(self, key: str, mode: Asked) -> None:
        """Prompted is for good: it was shown that there is no other."""
        if self._known.get(key) != "prompted":
            self._known[key] = mode


def _says_nothing(answer: Answer) -> bool:
    """Whether an invalid answer would be so in any mode: a refusal, or JSON that was cut."""
    if answer.finish_reason == "length":
        return not answer.output.strip() or BEGINS_JSON.match(answer.output) is not None
    return answer.finish_reason in REFUSED


def asked_by(mode: JsonMode) -> Asked:
    """How an answer's schema was asked for."""
    return "native" if mode == "native" else "prompted"


async def _prompted(request: Request, schema: Schema, ask: Ask) -> Reply:
    """The schema in the prompt; what is invalid is sent back once, with what is wrong with it.

    A repaired answer took both calls: their tokens, cost and time are its own. A repair that isn't answered leaves the
    first answer.
    """
    asked = prompted(request)
    first = await ask(asked)
    if not isinstance(first, Replied):
        return first
    first = first._replace(json_mode="prompted")
    problem = schema.problem(first.answer.output)
    if problem is None or first.answer.finish_reason in REFUSED:
        return first
    second = await ask(repairing(asked, first.answer.output, problem))
    if isinstance(second, CallFailed):
        return first
    return None if second is None else _both(first, second)


def _both(first: Replied, second: Replied) -> Replied:
    one, two = first.answer, second.answer
    usage = Usage(*map(_plus, astuple(one.usage), astuple(two.usage)))
    latency_s, ttft_s = _plus(one.latency_s, two.latency_s), _plus(one.latency_s, two.ttft_s)
    answer = replace(two, usage=usage, latency_s=latency_s, ttft_s=ttft_s)
    return Replied(answer, _plus(first.cost, second.cost), "repaired")


def _plus(a: Any, b: Any) -> Any:
    """None where one of them isn't known."""
    return None if a is None or b is None else a + b
