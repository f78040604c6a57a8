"""The next window is prepared beside the sending, not within it: one ahead, in order, and its errors arrive."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from ftvp_core.errors import RunStopped
from ftvp_core.runs.windows import Feed, Window, Work
from ftvp_core.store.ledger import ResultRow, Unit
from ftvp_core.types import Example, Message, Request

REQUEST = Request(Example("1", "?", ("yes",), {}), (Message("user", "?"),))
SIZE = 10


def window(first: int, cached: Sequence[ResultRow] = ()) -> Window:
    return Window([Work(Unit(0, at, 0), REQUEST) for at in range(first, first + SIZE)], cached)


async def handed_out(windows: Iterator[Window], tasks: int = 4) -> tuple[list[int], list[ResultRow]]:
    """The examples in the order in which many tasks got them, and what was kept of the cache's."""
    got: list[int] = []
    kept: list[ResultRow] = []

    async def keep(rows: Sequence[ResultRow]) -> None:
        kept.extend(rows)

    feed = Feed(windows, keep)

    async def work() -> None:
        while (one := await feed.next()) is not None:
            got.append(one.unit.example)
            await asyncio.sleep(0.001)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(work())
    finally:
        await feed.close()
    return got, kept


def test_work_comes_in_order_and_what_the_cache_had_is_kept() -> None:
    windows = [window(0, [{"example": 100}]), Window([], [{"example": 101}]), window(SIZE)]
    assert asyncio.run(handed_out(iter(windows))) == (list(range(2 * SIZE)), [{"example": 100}, {"example": 101}])


def test_one_window_is_prepared_ahead_and_no_more() -> None:
    prepared: list[int] = []

    def windows() -> Iterator[Window]:
        for at in range(5):
            prepared.append(at)
            yield window(at * SIZE)

    async def ahead() -> list[int]:
        feed = Feed(windows(), lambda rows: asyncio.sleep(0))
        counts = []
        for _ in range(3):
            for _ in range(SIZE):
                await feed.next()
            await asyncio.sleep(0.1)
            counts.append(len(prepared))
        await feed.close()
        return counts

    assert asyncio.run(ahead()) == [2, 3, 4]


def test_a_slow_look_up_does_not_hold_up_the_calls_under_way() -> None:
    threads = set()
    calls: list[int] = []
    meanwhile: list[int] = []

    def windows() -> Iterator[Window]:
        for at in range(3):
            threads.add(threading.get_ident())
            before = len(calls)
            time.sleep(0.3)
            meanwhile.append(len(calls) - before)
            yield window(at * SIZE)

    async def call() -> None:
        while True:
            await asyncio.sleep(0.01)
            calls.append(1)

    async def beside() -> None:
        others = asyncio.create_task(call())
        await handed_out(windows())
        others.cancel()

    asyncio.run(beside())
    assert min(meanwhile) > 1, "a loop that is held up has none"
    assert threading.get_ident() not in threads


def test_what_goes_wrong_in_the_thread_ends_the_work_with_its_cause() -> None:
    def windows() -> Iterator[Window]:
        yield window(0)
        raise RunStopped("the index is gone")

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(handed_out(windows()))
    assert {str(error) for error in raised.value.exceptions} == {"the index is gone"}


def test_a_cancel_waits_for_the_thread_and_takes_no_more_from_it() -> None:
    ended = []

    def windows() -> Iterator[Window]:
        time.sleep(0.3)
        ended.append(True)
        yield window(0)

    async def cancelled() -> bool:
        task = asyncio.create_task(handed_out(windows()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return bool(ended)

    assert asyncio.run(cancelled())
