"""A run's work, window by window: the next one is prepared in a thread while the present one is sent.

Looking up shots and passages, rendering and asking the cache take 50-100 ms a window; on the event loop they would
stand in the latency of every call that is under way.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.errors import CallFailed
from ftvp_core.store.ledger import ResultRow, Unit
from ftvp_core.types import Request

#: Rows whose prompts are rendered and looked up in the cache at a time.
WINDOW = 256


@dataclass(slots=True)
class Work:
    """What is asked. `searched_usd`: what its search costs, cached or not; None: unknown. `failure`: why there is none."""

    unit: Unit
    request: Request
    cache_key: str | None = None
    searched_usd: Decimal | None = Decimal(0)
    failure: CallFailed | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is to be asked, in its order; and the results that are known already: cached, or of a failed search."""

    works: Sequence[Work]
    known: Sequence[ResultRow]


class Feed:
    """Hands out work to many tasks of one event loop, in order, one window ahead and no more."""

    def __init__(self, windows: Iterator[Window], keep: Callable[[Sequence[ResultRow]], Awaitable[None]]) -> None:
        """`windows` is advanced in threads, one at a time; `keep` writes what was known, before its window."""
        self._windows = windows
        self._keep = keep
        self._waiting: deque[Work] = deque()
        self._turn = asyncio.Lock()
        self._coming = self._prepare()

    @property
    def is_ready(self) -> bool:
        """Whether `next` returns at once."""
        return bool(self._waiting)

    async def next(self) -> Work | None:
        """The next piece of work; None when there is no more. Raises what its preparation raised."""
        async with self._turn:
            while not self._waiting:
                window = await asyncio.shield(self._coming)
                if window is None:
                    return None
                self._coming = self._prepare()
                await self._keep(window.known)
                self._waiting.extend(window.works)
            return self._waiting.popleft()

    async def close(self) -> None:
        """Wait until no thread works at it any more; what it still brings, an error too, is nobody's."""
        await asyncio.wait([self._coming])
        if not self._coming.cancelled():
            self._coming.exception()

    def _prepare(self) -> "asyncio.Future[Window | None]":
        return asyncio.ensure_future(asyncio.to_thread(next, self._windows, None))
