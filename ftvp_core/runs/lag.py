"""How late this process's own event loop is: what a busy machine adds to every latency that it measures."""

import asyncio
import math
import time
from collections import Counter
from types import TracebackType
from typing import Self

EVERY_S = 0.02
#: Lateness is counted in steps of this length: a run of a day takes no more memory than one of a minute.
STEP_S = 0.0001


class Lag:
    """A timer that should fire every 20 ms, and how late it does. Use as an asynchronous context manager."""

    def __init__(self) -> None:
        self._late = Counter[int]()  # how often it was so many steps late

    async def __aenter__(self) -> Self:
        self._timer = asyncio.create_task(self._measure())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    @property
    def p95_s(self) -> float | None:
        """Seconds that 95 % of the timers weren't later than, to a step; None before the first."""
        rest = 0.95 * self._late.total()
        for steps in sorted(self._late):
            rest -= self._late[steps]
            if rest <= 0:
                return steps * STEP_S
        return None

    async def _measure(self) -> None:
        while True:
            due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late_s = max(0.0, time.perf_counter() - due)
            self._late[math.ceil(late_s / STEP_S)] += 1
