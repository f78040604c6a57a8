"""The process that trains. What it prints, or the kernel does to it, touches nobody else.

Requests come as JSON lines on standard input, `pause` and `go on` between them; events go as JSON lines to the file
descriptor that the command line names. It ends with its parent: when standard input does.
"""

import gc
import json
import logging
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from ftvp_core.errors import RunStopped, UserError, unexpected
from ftvp_core.marker import read_marker, write_marker
from ftvp_core.models.local import Base, out_of_memory
from ftvp_core.spec import TuneSpec
from ftvp_core.training import checkpoints
from ftvp_core.training.estimate import measure
from ftvp_core.training.loop import Course, Settings, run
from ftvp_core.training.memory import model_does_not_fit, peak_bytes, reset_peak
from ftvp_core.training.methods import check_changed, load, logits, restore, save, trainable
from ftvp_core.training.rows import Row, labelled
from ftvp_core.training.trainer import make_trainer
from ftvp_core.types import Message

log = logging.getLogger(__name__)

VERSIONS = ("torch", "transformers", "peft", "trl")
#: Where the finished model is written, inside a training's folder.
TUNED = "tuned"


class Parent:
    """What the parent says and is told."""

    def __init__(self, said: TextIO, events: TextIO) -> None:
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._said = said
        self._events = events
        self._going = threading.Event()
        self._going.set()
        threading.Thread(target=self._listen, daemon=True).start()

    def emit(self, **event: Any) -> None:
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()

    def hold(self) -> float:
        if self._going.is_set():
            return 0.0
        since = time.perf_counter()
        self._going.wait()
        return time.perf_counter() - since

    def _listen(self) -> None:
        for line in self._said:
            said = json.loads(line)
            if said == "pause":
                self._going.clear()
            elif said == "go on":
                self._going.set()
            else:
                self.requests.put(said)
        os._exit(0)  # the parent is gone, or wants no more


def serve(parent: Parent) -> None:
    """One request after another; bases stay loaded between them."""
    loaded: dict[str, Base] = {}
    while True:
        request = parent.requests.get()
        try:
            parent.emit(done=_train(request, loaded, parent))
        except UserError as error:
            loaded.clear()  # some of its modules may have adapters already where others were refused them
            parent.emit(user_error=str(error))
        except RunStopped as error:
            parent.emit(stopped=str(error))
        except Exception as error:  # a defect, or a library's own words: one line of it for the user, all of it logged
            log.exception("%s", request["where"])
            parent.emit(stopped=_cause(error, request))
        gc.collect()  # the trainer's cycles hold the model


def _train(request: dict[str, Any], loaded: dict[str, Base], parent: Parent) -> dict[str, Any]:
    """Measure, then train (unless it is only to be measured) into the request's folder, the marker last."""
    tune, where, at = TuneSpec(**request["tune"]), request["where"], Path(request["at"])
    checkpoint = checkpoints.newest(at)
    kept = read_marker(checkpoint) if checkpoint else {}
    course = Course(**kept.get("course", {}))
    started = time.perf_counter()
    base = load(Path(request["base"]), tune, where, loaded)
    parent.emit(device=base.device)
    if checkpoint:
        parent.emit(course=asdict(course))
    train, validation = (labelled(base, _rows(request[part]), tune.max_length, where) for part in ("train", "apart"))
    model = None
    try:
        before = logits(base.model, base, train)
        if checkpoint is None:
            model = trainable(base, tune, where)
            estimate = measure(model, base, train, validation, tune, where, parent)
            restore(base, model)
            model = None
            parent.emit(estimate=asdict(estimate))
            if request["only_measure"]:
                return asdict(estimate)
        model = trainable(base, tune, where)
        settings = Settings(tune, at, where, base.on_gpu)
        trainer = make_trainer(model, base, train, validation, settings)
        course.seconds += time.perf_counter() - started
        reset_peak()
        run(trainer, course, parent, settings)
        saving = time.perf_counter()
        changed = check_changed(before, logits(model, base, train), where)
        memory = peak_bytes(base.on_gpu)
        to = at / TUNED
        save(model, base, tune, to)
    finally:
        if model is not None:
            restore(base, model)
    done = {
        **asdict(course),
        "seconds": course.seconds + time.perf_counter() - saving,
        "device": base.device,
        "memory_bytes": memory,
        "changed": changed,
    }
    about = {"base": request["base"], "tune": request["tune"], "versions": {name: version(name) for name in VERSIONS}}
    write_marker(to, {**request["about"], **done, **about})
    return done


def _rows(rows: list[Any]) -> list[Row]:
    return [Row(row, tuple(Message(*message) for message in messages), answer) for row, messages, answer in rows]


def _cause(error: Exception, request: dict[str, Any]) -> str:
    """A library's error in one line."""
    where = request["where"]
    if out_of_memory(error):
        return str(model_does_not_fit(where, TuneSpec(**request["tune"])))
    if checkpoints.no_room(error):
        return (
            f"{where}: there is no room on the disk under {Path(request['at']).parent};"
            " make room and go on with the run: training goes on from its last checkpoint"
        )
    return f"{where}: training failed: {unexpected(error)[:500]}"


def main() -> None:
    events = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    with suppress(OSError):  # where memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    serve(Parent(sys.stdin, events))


if __name__ == "__main__":
    main()
