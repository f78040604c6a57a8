"""What a training will take, from a few steps that are really done and change nothing."""

import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ftvp_core.models.local import Base
from ftvp_core.spec import TuneSpec
from ftvp_core.training.loop import EVALUATIONS, Course, Settings, Told, run, steps_an_epoch
from ftvp_core.training.memory import peak_bytes, reset_peak
from ftvp_core.training.rows import Feature
from ftvp_core.training.trainer import make_trainer

#: Steps on the longest rows, for the memory and to warm up; then on rows as they come, for the time.
LONGEST_STEPS, TIMED_STEPS = 2, 3
#: What an evaluation's forward pass takes of a step's time: a step is about two more of them backwards.
FORWARD_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """`seconds` of the steps and evaluations; `memory_bytes` at the peak, of the process or the GPU."""

    seconds: float
    memory_bytes: int
    device: str
    steps: int


def measure(
    model: Any,
    base: Base,
    train: Sequence[Feature],
    validation: Sequence[Feature],
    tune: TuneSpec,
    where: str,
    told: Told,
) -> Estimate:
    """Raises RunStopped where the longest rows don't fit in memory: before anything is trained."""
    steps = LONGEST_STEPS + TIMED_STEPS
    reset_peak()
    clock = _Clock(told)
    with tempfile.TemporaryDirectory(prefix="ftvp-dry-run-") as at:
        settings = Settings(tune, Path(at), where, base.on_gpu, max_steps=steps, is_dry=True)
        trainer = make_trainer(model, base, _tried(train, tune, steps), [], settings, instead_of=train)
        run(trainer, Course(), clock, settings)
    timed = clock.ends[LONGEST_STEPS - 1 :]
    step_s = (timed[-1] - timed[0]) / (len(timed) - 1)
    planned = tune.max_steps or math.ceil(steps_an_epoch(train, tune) * tune.epochs)
    batches = math.ceil(len(validation) / tune.batch_size) * EVALUATIONS * tune.epochs
    evaluating_s = batches * FORWARD_SHARE * step_s / tune.gradient_accumulation
    return Estimate(planned * step_s + evaluating_s, peak_bytes(base.on_gpu), base.device, planned)


def _tried(train: Sequence[Feature], tune: TuneSpec, steps: int) -> list[Feature]:
    """The rows of the dry run's steps. With packing they are all alike: full, unless all rows fill no step."""
    if tune.packing:
        tokens = sum(len(row["input_ids"]) for row in train)
        a_step = tune.batch_size * tune.gradient_accumulation * tune.max_length
        rows = math.ceil(len(train) * steps * a_step / tokens) + 1
        return list(train) if tokens <= a_step else list(islice(cycle(train), rows))
    rows = tune.batch_size * tune.gradient_accumulation
    longest = sorted(train, key=lambda row: -len(row["input_ids"]))[:rows]
    typical = random.Random(tune.seed).sample(list(train), len(train))
    return [*islice(cycle(longest), LONGEST_STEPS * rows), *islice(cycle(typical), TIMED_STEPS * rows)]


class _Clock:
    """Notes when each step has ended."""

    def __init__(self, told: Told) -> None:
        self.ends: list[float] = []
        self.hold = told.hold

    def emit(self, **_: Any) -> None:
        self.ends.append(time.perf_counter())
