"""One process at a time: a lock on a file, and a wait for it that is seen and can be ended."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ftvp_core.errors import RunStopped

ASK_EVERY_S = 0.5


class Waiting(Protocol):
    """Who watches a wait."""

    def waits(self, waits: bool, /) -> None:
        """Whether another process has to end, or come to rest, first."""

    def cancelled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nobody watches. The wait ends at `until`, by `time.monotonic()`."""

    until: float = math.inf

    def waits(self, waits: bool) -> None:
        pass

    def cancelled(self) -> bool:
        return time.monotonic() > self.until


#: Waits for as long as it takes.
PATIENT = Unseen()


@contextmanager
def alone(path: Path, watch: Waiting) -> Iterator[None]:
    """One process at a time is inside. A dead one's lock is free. Raises RunStopped where the wait is cancelled."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=ASK_EVERY_S)
        except Timeout:
            watch.waits(True)
            if watch.cancelled():
                raise RunStopped("cancelled") from None
    try:
        watch.waits(False)
        yield
    finally:
        lock.release()
