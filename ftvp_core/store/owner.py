"""Who works on a run: a process, told apart from a later one with the same number."""

import os
import socket
from functools import cache


def owner() -> str:
    """This process: host, number and start."""
    return _named(os.getpid())


def is_dead(name: str | None) -> bool:
    """Whether an owner is known to be gone: its process was on this machine and no longer runs."""
    import psutil

    host, pid, started = (name or "::").rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.Error:
        return True


@cache
def _named(pid: int) -> str:
    """Asked at every commit; a forked child is another process."""
    import psutil

    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"
