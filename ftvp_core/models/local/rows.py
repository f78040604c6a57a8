"""A request while it is answered: its tokens so far, how the next one is chosen, and when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ftvp_core.models.constrained import Processor
from ftvp_core.models.local.base import Base
from ftvp_core.models.local.cache import Prefix
from ftvp_core.types import Answer, Request, Usage


@dataclass(slots=True, eq=False)
class Row:
    """`ids` is the prompt, `room` how many tokens may follow: `max_tokens`, or less near the context's end.

    `prefix` holds the keys and values of its first tokens, if it shares them. `seconds` is its share of the time
    that was worked so far.
    """

    at: int
    arm: Any
    adapter: str | None
    request: Request
    ids: list[int]
    room: int
    seconds: float = 0.0
    prefix: Prefix | None = None
    tokens: list[int] = field(default_factory=list)
    processors: list[Processor] = field(default_factory=list)
    ended: bool = False

    @property
    def rest(self) -> list[int]:
        """The prompt's tokens after the prefix: one at least."""
        return self.ids[self.prefix.length if self.prefix else 0 :]

    def begin(self, base: Base) -> None:
        """From the start, also after a try that didn't fit in memory."""
        self.tokens, self.ended = [], False
        self.processors = _processors(base, self.request, self.ids)

    def take(self, token: int, base: Base) -> None:
        """The next token, and whether it is the last: an end token, the end of a stop text, or no room after it."""
        self.tokens.append(token)
        self.ended = token in base.stops or len(self.tokens) >= self.room or self._at_stop(base.tokenizer)

    def _at_stop(self, tokenizer: Any) -> bool:
        stops = self.request.stop
        if not stops:
            return False
        # No token is shorter than a byte, so a stop's text, and what the last token adds, are in these.
        within = max(len(stop.encode()) for stop in stops) + 1
        end = tokenizer.decode(self.tokens[-within:])
        return any(stop in end for stop in stops)

    def answer(self, base: Base) -> Answer:
        """`usage` counts the whole prompt, shared or not, as a server's does, and the end token."""
        text, used, reason = _ended(base, self.tokens, self.request.stop)
        return Answer(text, Usage(len(self.ids), 0, used), machine_s=self.seconds, finish_reason=reason)


def choose(rows: Sequence[Row], logits: Any) -> Any:
    """Each row's next token, [rows], where the logits are: the likeliest after its processors.

    `logits`: [rows, vocabulary] in float32. What a row gets that has ended means nothing.
    """
    for at, row in enumerate(rows):
        for processor in () if row.ended else row.processors:
            logits[at] = processor(row.tokens, logits[at])
    return logits.argmax(dim=-1)


def _processors(base: Base, request: Request, ids: Sequence[int]) -> list[Processor]:
    """In the order in which they act; the draw comes last, over what the others left."""
    held = [] if request.output_schema is None else [base.constraint(request.output_schema)]
    return [*held, _draw(request, ids)] if request.temperature > 0 else held


def _draw(request: Request, ids: Sequence[int]) -> Processor:
    """Makes the likeliest token a draw at the request's temperature and top_p, by inverting their distribution.

    The row has its own generator, from its seed and its prompt, so that it draws alike in any batch. It draws one
    number a token: noise on each of a vocabulary's logits would take longer than most models' step.
    """
    import torch
    from transformers import TopPLogitsWarper

    top_p = TopPLogitsWarper(request.top_p) if request.top_p < 1 else None
    generator = torch.Generator()
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(hash((request.seed, *ids)) & (2**63 - 1))  # of numbers alone: the same in any process

    def draw(tokens: list[int], logits: Any) -> Any:
        logits = logits / request.temperature
        if top_p is not None:
            logits = top_p(None, logits[None])[0]
        reached = logits.double().softmax(dim=-1).cumsum(dim=-1)
        at = torch.rand(1, generator=generator, dtype=torch.double).to(reached.device) * reached[-1]
        token = torch.searchsorted(reached, at, right=True)  # to its right: none whose chance is 0
        return torch.full_like(logits, float("-inf")).index_fill_(0, token, 0.0)

    return draw


def _ended(base: Base, tokens: list[int], stops: Sequence[str]) -> tuple[str, int, str]:
    """A row's text, how many tokens it took, and why it ended."""

    def text_of(tokens: list[int]) -> str:
        text: str = base.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    end = next((at for at, token in enumerate(tokens) if token in base.stops), None)
    text = text_of(tokens[:end])
    cut = min((text.find(stop) for stop in stops if stop in text), default=None)
    if cut is not None:
        used = next(n for n in range(1, len(tokens) + 1) if any(stop in text_of(tokens[:n]) for stop in stops))
        return text[:cut], used, "stop"
    return (text, len(tokens), "length") if end is None else (text, end + 1, "stop")
