"""`worker`: the process that carries out what pages ask for."""

import argparse
import os
import signal

from ftvp_core.commands.console import started


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    worker = commands.add_parser("worker", help="carry out the runs that pages ask for")
    worker.add_argument("--attached", action="store_true", help="end, after the run under way, when its parent ends")
    worker.set_defaults(command=_worker)


def _worker(options: argparse.Namespace) -> int:
    import logging

    from ftvp_core.jobs.worker import work
    from ftvp_core.store.opening import open_store

    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each look at a batch
    # It may die at any instant: its run is then interrupted, not cancelled, and the next worker goes on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    started()
    work(open_store(), until=lambda: options.attached and os.getppid() != parent)
    return 0
