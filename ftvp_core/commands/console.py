"""What commands say while they run, and how they end: on standard error."""

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from tqdm import tqdm

#: New objects until Python looks for garbage. A run's start makes 140,000.
STARTING, WORKING = 200_000, 10_000


def complain(line: str, status: int) -> int:
    """Say it in one line, and return the exit status."""
    print(f"ftvp: {line}", file=sys.stderr)
    return status


def close_output() -> None:
    """Nobody reads it any more: what is still written, at the interpreter's end too, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def starts() -> None:
    """A start's objects aren't looked through for garbage: there is next to none. At 10,000 it took 60 ms."""
    gc.set_threshold(STARTING)


def started() -> None:
    """The start is over: what it made stays to the end, and what comes now is looked through in short pauses.

    Python's own threshold, 700, took a quarter of a run's CPU: each time it goes through rows and requests. Nothing
    happens in a process that another program has started: its garbage is its own affair.
    """
    if gc.get_threshold()[0] == STARTING:
        gc.freeze()
        gc.set_threshold(WORKING)


def progress_bar(unit: str) -> "tqdm[Never]":
    from tqdm import tqdm

    return tqdm(unit=unit, file=sys.stderr, disable=None, dynamic_ncols=True)


def moves(bar: "tqdm[Never]") -> Callable[[int, int], None]:
    """A run's or a training's progress, `done` of `total`, as the bar shows it."""

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress
