"""How late this process's own event loop is: what a busy machine adds to every latency that it measures."""

import asyncio
import time
from types import TracebackType
from typing import Self

EVERY_S = 0.02


class Lag:
    """A timer that should fire every 20 ms, and how late it does. Use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._late_s: list[float] = []

    async def __aenter__(self) -> Self:
        self._timer = asyncio.create_task(self._measure())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    @property
    def p95_s(self) -> float | None:
        """Seconds that 95 % of the timers weren't later than; None before the first."""
        return sorted(self._late_s)[int(0.95 * (len(self._late_s) - 1))] if self._late_s else None

    async def _measure(self) -> None:
        while True:
            due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._late_s.append(max(0.0, time.perf_counter() - due))
