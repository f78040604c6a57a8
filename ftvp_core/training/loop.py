"""The training itself: step by step, told and held, kept in checkpoints, stopped when it gets no better."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ftvp_core.errors import RunStopped
from ftvp_core.marker import to_disk
from ftvp_core.models.local import out_of_memory
from ftvp_core.spec import TuneSpec
from ftvp_core.training import checkpoints
from ftvp_core.training.memory import does_not_fit, peak_bytes
from ftvp_core.training.rows import Feature

#: Evaluations of the validation rows in an epoch.
EVALUATIONS = 2


class Told(Protocol):
    """Who is told of a training, and may hold it between two steps."""

    def emit(self, **event: Any) -> None: ...

    def hold(self) -> float:
        """Return when the training may go on; the seconds that it was held."""
        ...


@dataclass
class Course:
    """A training's way so far, kept in its checkpoints: `log` and `validation` are (step, loss).

    `waited`: evaluations since the best one. `seconds` are of the work that its checkpoints hold.
    """

    seconds: float = 0.0
    log: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    waited: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a trainer is made of. A dry run has a learning rate of 0: it costs what a real step costs, and changes
    nothing."""

    tune: TuneSpec
    at: Path
    where: str
    on_gpu: bool
    max_steps: int = -1
    is_dry: bool = False


def steps_an_epoch(train: Sequence[Feature], tune: TuneSpec) -> int:
    """With packing at least so many: how rows fill their sequences is known when they are packed."""
    tokens = sum(len(row["input_ids"]) for row in train)
    sequences = math.ceil(tokens / tune.max_length) if tune.packing else len(train)
    return math.ceil(sequences / tune.batch_size / tune.gradient_accumulation)


def run(trainer: Any, course: Course, told: Told, settings: Settings) -> None:
    """Train to the end, or from the last complete checkpoint on. Leaves the best weights in the model.

    Raises RunStopped when the training diverges or doesn't fit in memory.
    """
    watching = _watching(trainer, course, told, settings)
    trainer.add_callback(watching)
    start = None if settings.is_dry else checkpoints.newest(settings.at)
    trainer.course, trainer.clock = course, watching
    try:
        trainer.train(resume_from_checkpoint=str(start) if start else None)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise does_not_fit(settings.where, settings.tune) from None
    course.seconds = watching.seconds()
    if course.best_step is not None and course.best_step != trainer.state.global_step:
        trainer._load_from_checkpoint(str(settings.at / f"{checkpoints.BEST}{course.best_step}"))


def _watching(trainer: Any, course: Course, told: Told, settings: Settings) -> Any:
    """The callback between the trainer and who is told."""
    from transformers import TrainerCallback

    class Watching(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        def __init__(self) -> None:
            self._before = course.seconds
            self._started = time.perf_counter()
            self._held = 0.0

        def seconds(self) -> float:
            return self._before + time.perf_counter() - self._started - self._held

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._held += told.hold()

        def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            if trainer.eval_dataset is not None and state.global_step >= state.max_steps:
                control.should_evaluate = True

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            step, loss = int(state.global_step), float(logs["loss"])
            if not math.isfinite(loss):
                raise RunStopped(
                    f"{settings.where}: training diverged: the loss is {loss} at step {step}; lower tune.learning_rate"
                )
            course.log.append((step, loss))
            tokens_per_s = logs["num_tokens"] / (self.seconds() - self._before)
            told.emit(
                step=step,
                steps=int(state.max_steps),
                loss=loss,
                tokens_per_s=tokens_per_s,
                memory_bytes=peak_bytes(settings.on_gpu),
            )

        def on_evaluate(self, _args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            step, loss = int(state.global_step), float(metrics["eval_loss"])
            course.validation.append((step, loss))
            if course.best_loss is None or loss < course.best_loss:
                course.best_step, course.best_loss, course.waited = step, loss, 0
                best = settings.at / f"{checkpoints.BEST}{step}"
                trainer.save_model(str(best))
                to_disk(best)  # before a checkpoint counts on it
            else:
                course.waited += 1
                control.should_training_stop = course.waited >= settings.tune.patience
            told.emit(step=step, validation=loss, best_step=course.best_step)

    return Watching()
