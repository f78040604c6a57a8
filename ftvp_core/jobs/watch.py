"""A run's heartbeat: its process lives, this is how far it is, and what does anyone ask of it?"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from ftvp_core.errors import LeaseLost, StoreFailed
from ftvp_core.store.store import Asked, Store

BEAT_EVERY_S = 0.5

Progress = Callable[[int, int], None]


class Watch:
    """Beats from a thread of its own, so that training and indexing, which block, are watched too."""

    def __init__(self, store: Store, run_id: str, show: Progress | None = None) -> None:
        """`show` is called with (done, total) besides, in the run's own thread."""
        self._store = store
        self._run_id = run_id
        self._show = show
        self._progress: dict[str, Any] = {}
        self._changing = threading.Lock()
        self._lag_s: float | None = None
        self._asked = Asked(cancel=False, pause=False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beats, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def cancelled(self) -> bool:
        return self._asked.cancel

    def paused(self) -> bool:
        return self._asked.pause

    def begin(self, phase: str, *, pauses: bool = False) -> None:
        """A new phase: `training lora`, `indexing`, `answering`. `pauses`: it heeds a pause."""
        with self._changing:
            self._progress = {
                "phase": phase, "pauses": pauses, "since": time.time(), "done": 0, "total": 0, "done_before": None,
            }  # fmt: skip

    def progress(self, done: int, total: int) -> None:
        """`done_before`: what an earlier process had finished, so that the rate is of this one alone."""
        with self._changing:
            before = self._progress.get("done_before")
            self._progress |= {"done": done, "total": total, "done_before": done if before is None else before}
        if self._show is not None:
            self._show(done, total)

    def waits(self, waits: bool) -> None:
        """Whether it stands behind another training or ingestion on this machine."""
        with self._changing:
            self._progress["waits"] = waits

    def stopped(self, causes: Sequence[str]) -> None:
        """Providers and models that the run goes on without."""
        with self._changing:
            self._progress["stopped"] = list(causes)

    def lagging(self, lag_s: float | None) -> None:
        """The event loop's lag so far: kept with each beat, so that a kill doesn't lose it."""
        self._lag_s = lag_s

    def _beats(self) -> None:
        while True:
            try:
                self._beat()
            except LeaseLost:  # nothing is left to do; whoever writes next meets it too, and says so
                self._asked = Asked(cancel=True, pause=False)
                return
            except StoreFailed:  # a full disk: the run itself meets it too, and says so
                pass
            if self._ended.wait(BEAT_EVERY_S):
                return

    def _beat(self) -> None:
        with self._changing:
            said = dict(self._progress)
        asked = self._store.beat(self._run_id, said, self._lag_s)
        if self._asked.pause and not asked.pause:  # the rate is of the time that it worked
            with self._changing:
                self._progress |= {"since": time.time(), "done_before": self._progress.get("done")}
        self._asked = asked
