"""The health of a run's providers and models: how long to wait after a failure, and when to go on without one."""

import random
import time
from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from ftvp_core.errors import CallFailed

#: Tries of one row, over all causes. With 30 % of calls refused, 7 in 100,000 rows use them up.
TRIES = 8
#: Back-off: full jitter under a doubling ceiling (AWS Architecture Blog, "Exponential Backoff And Jitter").
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
#: A provider that asks for a longer wait than this is parked: the run goes on without it, and a resume with it.
LONGEST_RETRY_AFTER_S = 60.0


class Served(Protocol):
    """A model on a server, as `provider/model`."""

    @property
    def model(self) -> str | None: ...

    @property
    def provider(self) -> str | None: ...


class Next(NamedTuple):
    """What follows a failed try: another one after `wait_s`; else the row is failed, or stays unfinished."""

    wait_s: float | None = None
    is_failed: bool = False


class Servers:
    """Which providers and models of a run are stopped, by `provider` or `provider/model`, and why."""

    def __init__(self, concurrency: int) -> None:
        # As many failed rows one after another as run side by side: the provider is down.
        self._most_in_a_row = max(concurrency, TRIES)
        self._failed_in_a_row: dict[str, Counter[str]] = {}  # by provider, their causes
        self._stopped: dict[str, str] = {}

    @property
    def causes(self) -> list[str]:
        return [f"{name}: {cause}" for name, cause in self._stopped.items()]

    def is_stopped(self, one: Served) -> bool:
        return one.provider in self._stopped or one.model in self._stopped

    def answered(self, one: Served) -> None:
        self._failed_in_a_row.pop(one.provider or "", None)

    def failed(self, one: Served, failure: CallFailed, try_: int) -> Next:
        """Take note of a failed try."""
        provider = one.provider or ""
        if failure.stops is not None:
            self.stop((one.model or "") if failure.stops == "model" else provider, f"stopped after {failure}")
            return Next()
        if failure.retry and (failure.retry_after_s or 0.0) > LONGEST_RETRY_AFTER_S:
            self.stop(provider, _parked(failure))
            return Next()
        if failure.retry and try_ < TRIES:
            return Next(_wait_s(failure, try_))
        causes = self._failed_in_a_row.setdefault(provider, Counter())
        causes[str(failure)] += 1
        if causes.total() >= self._most_in_a_row:
            ((commonest, _),) = causes.most_common(1)
            self.stop(provider, f"stopped after {causes.total()} failed rows in a row ({commonest})")
        return Next(is_failed=True)

    def stop(self, name: str, cause: str) -> None:
        """The first cause is the one that is told."""
        self._stopped.setdefault(name, cause)


def _parked(failure: CallFailed) -> str:
    wait_s = failure.retry_after_s or 0.0
    until = datetime.fromtimestamp(time.time() + wait_s, UTC)
    return (
        f"parked: asks to wait {wait_s:,.0f} s, until {until:%Y-%m-%d %H:%M} UTC ({failure}); go on with the run then"
    )


def _wait_s(failure: CallFailed, try_: int) -> float:
    """Seconds until the next try: what the server asked for, else a doubling back-off, both with jitter.

    The jitter doubles too: a server with room for half of what is in flight asks everyone for the same short wait.
    """
    if failure.retry_after_s is not None:
        return failure.retry_after_s + random.uniform(0, min(LONGEST_WAIT_S, 0.05 * 2**try_))
    return random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**try_))
