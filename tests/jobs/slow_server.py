"""A server of the wire format that answers `yes` after a while and counts what it was asked."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

from aiohttp import web


class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.messages: list[list[dict[str, str]]] = []
        self.url = ""


@contextmanager
def slow_server(latency_s: float) -> Iterator[Counting]:
    """Serve on a free loopback port from a thread of its own."""
    counting = Counting()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        counting.messages.append(body["messages"])
        counting.asked.append(body["messages"][-1]["content"])
        await asyncio.sleep(latency_s)
        message = {"role": "assistant", "content": "yes"}
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        counting.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        started.set()

    thread = threading.Thread(target=_run_loop, args=(loop, serve()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield counting
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _run_loop(loop: asyncio.AbstractEventLoop, begin: Coroutine[None, None, None]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(begin)
    loop.run_forever()
