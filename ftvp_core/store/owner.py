"""Who works on a run: a process, told apart from a later one with the same number."""

import os
import socket
from functools import cache


def owner() -> str:
    """This process: host, number and start."""
    return _own(os.getpid())


def named(pid: int) -> str:
    """A process of this machine. Raises psutil.Error where there is none."""
    import psutil

    # psutil hashes number and start since boot. The start by the clock differs as soon as the clock is set.
    return f"{socket.gethostname()}:{pid}:{hash(psutil.Process(pid))}"


def is_dead(name: str | None) -> bool:
    """Whether an owner is known to be gone: its process was on this machine and no longer runs."""
    import psutil

    host, pid, _ = (name or "::").rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return named(int(pid)) != name or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


@cache
def _own(pid: int) -> str:
    """Asked at every commit; a forked child is another process."""
    return named(pid)
