"""Calls about batches that wait out a provider's bad minutes: a batch takes hours, and was paid for."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import IO, TypeVar

from ftvp_core.errors import CallFailed
from ftvp_core.models.openai_batches import OpenAIBatches, RemoteBatch
from ftvp_core.types import Answer

#: Tries of one call; with these waits the last comes after about a quarter of an hour.
TRIES = 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0

Got = TypeVar("Got")


class Patient:
    """A server's batches, asked again where another try may succeed. Raises CallFailed when the tries are used up."""

    def __init__(self, server: OpenAIBatches) -> None:
        self._server = server

    async def close(self) -> None:
        await self._server.close()

    async def upload(self, lines: IO[bytes]) -> str:
        async def once() -> str:
            lines.seek(0)
            return await self._server.upload(lines)

        return await _asked(once)

    async def create(self, file_id: str, metadata: Mapping[str, str], since: float) -> RemoteBatch:
        """One batch, however often it is tried: before another try the provider is asked whether it has it.

        Raises CallFailed: `unknown` where that can't be known.
        """
        for try_ in range(1, TRIES + 1):
            try:
                return await self._server.create(file_id, metadata)
            except CallFailed as failure:
                last = failure
            if not last.retry:
                break
            await asyncio.sleep(_wait_s(last, try_))
            if last.outcome == "unknown" and (found := await self.find(metadata, since)):
                return found
        if last.outcome == "unknown" and last.retry:  # asked for, and it isn't there
            raise CallFailed(str(last), outcome="unsent", retry=True)
        raise last

    async def find(self, metadata: Mapping[str, str], since: float) -> RemoteBatch | None:
        """Raises CallFailed `unknown`, to be tried again (`retry`) or never to be known."""
        try:
            return await _asked(lambda: self._server.find(metadata, since))
        except CallFailed as failure:
            said = f"whether a batch was made can't be known: its provider doesn't list them ({failure})"
            raise CallFailed(said, outcome="unknown", retry=failure.retry or failure.stops == "provider") from None

    async def get(self, batch_id: str) -> RemoteBatch:
        return await _asked(lambda: self._server.get(batch_id))

    async def cancel(self, batch_id: str) -> None:
        """One try: who cancels doesn't wait."""
        await self._server.cancel(batch_id)

    async def answers(self, batch: RemoteBatch) -> dict[str, Answer | CallFailed]:
        return await _asked(lambda: self._server.answers(batch))


async def _asked(call: Callable[[], Awaitable[Got]]) -> Got:
    for try_ in range(1, TRIES):
        try:
            return await call()
        except CallFailed as failure:
            if not failure.retry:
                raise
            await asyncio.sleep(_wait_s(failure, try_))
    return await call()


def _wait_s(failure: CallFailed, try_: int) -> float:
    """Seconds until the next try: what the server asked for, within reason, else a doubling back-off with jitter."""
    if failure.retry_after_s is not None:
        return min(LONGEST_WAIT_S, failure.retry_after_s)
    return random.uniform(0.5, 1.0) * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**try_)
