"""Group commit off the event loop: whatever waits is written in one transaction, without a timer."""

import asyncio
import queue
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ftvp_core.errors import RunStopped, StoreFailed
from ftvp_core.store.ledger import Entry, commit
from ftvp_core.store.store import Store

_Waiting = tuple[Sequence[Entry], "asyncio.Future[list[bool]]"]


class Ledger:
    """Writes a run's attempts and results. Use as an asynchronous context manager, in one event loop."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def write(self, *entries: Entry) -> list[bool]:
        """Return once the entries are committed: for each, whether it holds (an Intent may find no budget)."""
        done: asyncio.Future[list[bool]] = self._loop.create_future()
        self._queue.put((entries, done))
        return await done

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting = [first]
            last = False
            while not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    last = True
                    break
                waiting.append(more)
            self._commit(waiting)
            if last:
                return

    def _commit(self, waiting: Sequence[_Waiting]) -> None:
        """A failure to write, of whatever kind, reaches everyone who waits: nothing more is sent, and nothing hangs."""
        try:
            with self._store.writing(alone=False) as connection:
                holds = iter(commit(connection, self._run_id, [entry for entries, _ in waiting for entry in entries]))
            answers: list[list[bool] | RunStopped] = [[next(holds) for _ in entries] for entries, _ in waiting]
        except Exception as error:  # noqa: BLE001, a full disk or a value that no column takes: it is handed on
            cause = error if isinstance(error, RunStopped) else StoreFailed(getattr(error, "orig", error))
            answers = [cause for _ in waiting]
        self._loop.call_soon_threadsafe(_resolve, [done for _, done in waiting], answers)


def _resolve(futures: Sequence["asyncio.Future[list[bool]]"], answers: Sequence[list[bool] | RunStopped]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.cancelled():
            continue
        if isinstance(answer, RunStopped):
            future.set_exception(answer)
        else:
            future.set_result(answer)
