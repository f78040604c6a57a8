"""A run's heartbeat: its process lives, this is how far it is, and has anyone asked it to stop?"""

import threading
import time
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from ftvp_core.errors import LeaseLost
from ftvp_core.runs.runner import Progress
from ftvp_core.store.store import Store

BEAT_EVERY_S = 0.5


class Watch:
    """Beats from a thread of its own, so that training and indexing, which block, are watched too."""

    def __init__(self, store: Store, run_id: str, show: Progress | None = None) -> None:
        """`show` is called with (done, total) besides, in the run's own thread."""
        self._store = store
        self._run_id = run_id
        self._show = show
        self._progress: dict[str, Any] = {}
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def begin(self, phase: str) -> None:
        """A new phase: `training lora`, `indexing`, `answering`."""
        self._progress = {"phase": phase, "since": time.time(), "done": 0, "total": 0, "done_before": None}

    def progress(self, done: int, total: int) -> None:
        """`done_before`: what an earlier process had finished, so that the rate is of this one alone."""
        before = self._progress.get("done_before")
        self._progress = self._progress | {
            "done": done,
            "total": total,
            "done_before": done if before is None else before,
        }
        if self._show is not None:
            self._show(done, total)

    def _beat(self) -> None:
        while True:
            try:
                if self._store.beat(self._run_id, self._progress):
                    self._cancelled.set()
            except LeaseLost:  # nothing more is to be done here; whoever writes next meets it too, and says so
                self._cancelled.set()
                return
            except SQLAlchemyError:  # a full disk: the run itself meets it too, and says so
                pass
            if self._ended.wait(BEAT_EVERY_S):
                return
