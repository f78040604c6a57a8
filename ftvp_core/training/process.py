"""Trainings in a process of their own: it can be killed, by us or for want of memory, and this one goes on."""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from ftvp_core.alone import Waiting
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.spec import TuneSpec
from ftvp_core.training.memory import does_not_fit

#: The program; the number of the descriptor for its events follows.
CHILD = [sys.executable, "-P", "-m", "ftvp_core.training.child"]
ROOT = Path(__file__).parents[2]
#: A base is a folder on this disk by now: nothing is asked of a hub.
SET = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONUTF8": "1"}
ASK_EVERY_S = 0.1
#: The keys of an event that ends a request.
LAST = {"done", "user_error", "stopped"}
#: What is kept of all that the child prints.
TAIL_BYTES = 4096


class Watched(Waiting, Protocol):
    """Who watches a training: shown how far it is, and asked what to do. One at a time is done on a machine."""

    def progress(self, done: int, total: int, /) -> None: ...

    def paused(self) -> bool: ...


class TrainingProcess:
    """Trains one after another, the base staying loaded. Started when first needed; ends with the `with` block."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def train(self, request: dict[str, Any], watch: Watched, told: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """What the child says at the end; `told` of each event before. A cancel ends it within a tenth of a second.

        Raises UserError, and RunStopped when it is cancelled, fails or dies.
        """
        try:
            child = self._started()
            self._say(request)
            said = self._last_event(child, request, watch, told)
        except BaseException:
            self.end()  # whatever it was doing; a checkpoint is complete or absent
            raise
        if "user_error" in said:
            raise UserError(*said["user_error"].partition(": ")[::2])
        if "stopped" in said:
            raise RunStopped(said["stopped"])
        done: dict[str, Any] = said["done"]
        return done

    def _last_event(
        self,
        child: "subprocess.Popen[bytes]",
        request: dict[str, Any],
        watch: Watched,
        told: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        paused = False
        while True:
            if watch.cancelled():
                raise RunStopped("cancelled")
            if watch.paused() != paused:
                paused = not paused
                self._say("pause" if paused else "go on")
            for event in self._events():
                if event is None:
                    raise self._death(child, request)
                if event.keys() & LAST:
                    return event
                told(event)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._child is not None:
            return self._child
        reading, writing = os.pipe()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._child = child = subprocess.Popen(  # noqa: S603, the program above
            [*CHILD, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env=os.environ | SET | {"PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C is this process's to heed
        )
        os.close(writing)
        self._reading = reading
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ)
        self._tail = bytearray()
        self._drain = threading.Thread(target=self._drained, args=(child,), daemon=True)
        self._drain.start()
        return child

    def _drained(self, child: "subprocess.Popen[bytes]") -> None:
        """Read all that the child prints, so that it never waits for a reader, and keep the end."""
        assert child.stdout is not None
        while printed := os.read(child.stdout.fileno(), 1 << 16):
            self._tail += printed
            del self._tail[:-TAIL_BYTES]

    def _say(self, what: object) -> None:
        assert self._child is not None and self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has died: its events end, and say so
            self._child.stdin.write(json.dumps(what).encode() + b"\n")
            self._child.stdin.flush()

    def _events(self) -> list[dict[str, Any] | None]:
        """What has come within ASK_EVERY_S; None at the end of all."""
        if not self._selector.select(ASK_EVERY_S):
            return []
        read = os.read(self._reading, 1 << 16)
        *lines, self._rest = (self._rest + read).split(b"\n")
        return [*(json.loads(line) for line in lines), *([] if read else [None])]

    def _death(self, child: "subprocess.Popen[bytes]", request: dict[str, Any]) -> RunStopped:
        status, where = child.wait(), request["where"]
        if status == -signal.SIGKILL:
            what = "training was killed, as the system does when memory runs out"
            return does_not_fit(where, TuneSpec(**request["tune"]), what)
        self._drain.join(timeout=1)
        last = (self._tail.decode(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
        return RunStopped(f"{where}: training ended unexpectedly (status {status}): {last[:300]}")

    def end(self) -> None:
        """Gives its memory back; the next training starts another."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        self._drain.join()
        self._selector.close()
        os.close(self._reading)
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
