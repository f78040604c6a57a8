"""Who generates. Models never import each other; each kind is one file, opened by the plan.

Two kinds of work, two protocols: a server answers single requests at once (`RemoteModel`), this machine
answers batches (`LocalModel`). Both raise CallFailed where there is no answer.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from ftvp_core.types import Answer, Request


class RemoteModel(Protocol):
    """Answers one request at a time, many at once."""

    #: What makes two requests the same question: the server and the model.
    identity: str

    async def answer(self, request: Request, timeout_s: float) -> Answer:
        """One request, one attempt. Raises CallFailed."""
        ...

    async def close(self) -> None: ...


class LocalModel(Protocol):
    """Answers batches on this machine."""

    identity: str
    batch_size: int
    #: Whether its work takes machine time that is priced, and so has attempts, a cost and a latency probe.
    works: bool
    #: Which hour its time is priced by.
    on_gpu: bool

    @property
    def group(self) -> "Group | None":
        """Those who can answer in one batch with it; None: nobody."""
        ...

    def answer_batch(self, requests: Sequence[Request]) -> Sequence[Answer | str]:
        """An answer a request, in order; a text is the cause why there is none."""
        ...


class Group(Protocol):
    """Local models that answer in one batch: those of one base."""

    def answer(self, asked: Sequence[tuple[Any, Request]]) -> Sequence[Answer | str]:
        """Requests, each of one of its models; otherwise as `LocalModel.answer_batch`."""
        ...
