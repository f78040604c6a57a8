"""One request and what came back: how it is asked, what it used, its answer and its grade."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ftvp_core.types.data import Example, Message, Passage

#: The most that a limit, an hour or a million tokens can cost: the store counts whole pico-dollars in 64 bits.
MOST_USD = 1_000_000

#: How a candidate gets its answers; derived from its keys, never given.
Method = Literal["prompt", "few-shot", "rag", "fine-tuned", "fine-tuned+rag", "floor", "recorded"]

#: How an answer came to be JSON: the server's own mode; a schema in the prompt, without and with a repair; tokens
#: that were held to the schema on this machine.
JsonMode = Literal["native", "prompted", "repaired", "constrained"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; None where the server didn't say. `input` includes `cached_input`."""

    input: int | None = None
    cached_input: int | None = None
    output: int | None = None


#: Nothing is known of what a request used.
NO_USAGE = Usage()


class Given(NamedTuple):
    """What was looked up for one example: passages, and shots with the passages of each."""

    passages: tuple[Passage, ...] = ()
    shots: tuple[tuple[Example, tuple[Passage, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked: one example, rendered by one candidate."""

    example: Example
    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    output_schema: Mapping[str, Any] | None = None
    passages: tuple[Passage, ...] = ()
    shots: tuple[tuple[Example, tuple[Passage, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    `latency_s` is this request alone, without queue and back-off; None where it wasn't measured (a
    request answered inside a batch). `machine_s` is the local machine's time that it took.
    """

    output: str
    usage: Usage = NO_USAGE
    latency_s: float | None = None
    ttft_s: float | None = None
    machine_s: float | None = None
    finish_reason: str | None = None
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """`value` in [0, 1], or None with the reason why the answer couldn't be graded."""

    value: float | None
    reason: str = ""
