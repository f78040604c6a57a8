"""The training itself: TRL's SFTTrainer on rows that are tokens already.

TRL takes token ids and labels as they are, so training and answering agree token for token; it takes the loss without
the logits of the whole vocabulary, and lays the rows of a batch end to end instead of padding them, where the model
tells them apart. Whether it does is tried, not believed.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.models.local import Base, known_warnings, out_of_memory
from ftvp_core.spec import TuneSpec
from ftvp_core.training import checkpoints
from ftvp_core.training.memory import peak_bytes
from ftvp_core.training.rows import Feature

#: Of two rows laid end to end the second must be read as if alone: the largest difference of its logits, relative.
SAME = {"cpu": 1e-3, "cuda": 5e-2}
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


def make_trainer(
    model: Any, base: Base, train: Sequence[Feature], validation: Sequence[Feature], settings: Settings
) -> Any:
    """TRL's trainer with this project's checkpoints. Raises UserError for settings that it refuses."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig

    tune = settings.tune
    together = _reads_apart(model, base, train)
    packed = tune.packing and together and not settings.is_dry
    steps_an_epoch = max(1, math.ceil(len(train) / tune.batch_size / tune.gradient_accumulation))
    with known_warnings():
        arguments = SFTConfig(
            output_dir=str(settings.at),
            per_device_train_batch_size=tune.batch_size,
            per_device_eval_batch_size=tune.batch_size,
            gradient_accumulation_steps=tune.gradient_accumulation,
            gradient_checkpointing=tune.gradient_checkpointing,
            num_train_epochs=tune.epochs,
            max_steps=settings.max_steps if settings.is_dry else tune.max_steps or -1,
            learning_rate=0.0 if settings.is_dry else tune.rate,
            lr_scheduler_type=tune.scheduler,
            warmup_steps=tune.warmup,  # below 1 a share of the steps
            weight_decay=tune.weight_decay,
            max_grad_norm=tune.max_grad_norm,
            seed=tune.seed,
            data_seed=tune.seed,
            use_cpu=not base.on_gpu,
            bf16=base.on_gpu,
            packing=packed,
            padding_free=together,
            max_length=tune.max_length if packed else None,  # no row is longer
            save_strategy="no" if settings.is_dry else "steps",
            save_steps=tune.save_steps,
            eval_strategy="steps" if validation else "no",
            eval_steps=max(1, round(steps_an_epoch / EVALUATIONS)),
            eval_packing=False,
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=base.on_gpu,
            train_sampling_strategy="sequential" if settings.is_dry else "random",
        )
    if base.on_gpu:
        arguments._n_gpu = 1  # the base is on one; TRL refuses a model that the Trainer would split over several
    try:
        with known_warnings():
            trainer = _resumable()(
                model=model,
                args=arguments,
                train_dataset=Dataset.from_list(list(train)),
                eval_dataset=Dataset.from_list(list(validation)) if validation else None,
                processing_class=base.tokenizer,
            )
    except ValueError as error:
        if "lm_head" not in str(error):
            raise
        raise UserError(
            f"{settings.where}.tune.target_modules", "an adapter on lm_head can't be trained", "leave lm_head out"
        ) from None
    trainer.remove_callback(PrinterCallback)  # standard output isn't its own
    return trainer


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
        raise RunStopped(
            f"{settings.where}: training doesn't fit in this machine's memory; {_smaller(settings.tune)}"
        ) from None
    course.seconds = watching.seconds()
    if course.best_step is not None and course.best_step != trainer.state.global_step:
        trainer._load_from_checkpoint(str(settings.at / f"{checkpoints.BEST}{course.best_step}"))


def _smaller(tune: TuneSpec) -> str:
    """The setting to change first."""
    if tune.batch_size > 1:
        return f"lower tune.batch_size ({tune.batch_size}); tune.gradient_accumulation keeps a step's rows the same"
    if not tune.gradient_checkpointing:
        return "set tune.gradient_checkpointing: true"
    if tune.method != "qlora":
        return f"set tune.method: qlora instead of {tune.method}, or take a smaller model"
    return "leave the longest rows out, or take a smaller model"


def _reads_apart(model: Any, base: Base, features: Sequence[Feature]) -> bool:
    """Whether the model reads rows that lie end to end, each with positions from 0, as if each were alone."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    pair = sorted(features, key=lambda feature: len(feature["input_ids"]))[:2]
    batch = DataCollatorForLanguageModeling(base.pad, padding_free=True)(pair)
    batch = {key: value.to(base.device) if torch.is_tensor(value) else value for key, value in batch.items()}
    batch.pop("labels")
    model.eval()
    try:
        with torch.inference_mode():
            beside = model(**batch, use_cache=False).logits[0, -1].float()
            alone = model(input_ids=torch.tensor([pair[-1]["input_ids"]], device=base.device)).logits[0, -1].float()
    except (TypeError, ValueError, RuntimeError) as error:  # a model whose forward knows no such arguments
        if out_of_memory(error):
            raise RunStopped("the model doesn't fit in this machine's memory with two rows") from None
        return False
    kind = "cuda" if base.on_gpu else "cpu"
    return bool((beside - alone).abs().max() <= SAME[kind] * alone.abs().max())


def _resumable() -> Any:
    """TRL's trainer with checkpoints of ours: no pickle, complete or absent."""
    from transformers import Trainer
    from trl import SFTTrainer

    class Resumable(SFTTrainer):  # type: ignore[misc]  # trl has no types
        course: Course
        clock: Any

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            self.model.save_pretrained(output_dir, state_dict=state_dict)

        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            self._kept = checkpoints.save_state(Path(output_dir), self.optimizer, self.lr_scheduler)

        def _save_rng_state(self, output_dir: str) -> None:
            """It is in the state above."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own writes a card for each besides
            self.course.seconds = self.clock.seconds()
            folder = Path(self.args.output_dir)
            at = folder / f"{checkpoints.PREFIX}{self.state.global_step}"
            checkpoints.write_marker(at, {**self._kept, "course": asdict(self.course)})
            checkpoints.only_newest(folder, self.course.best_step)

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                checkpoints.load_state(Path(checkpoint), self.optimizer, self.lr_scheduler)

        def _load_rng_state(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                checkpoints.load_random(Path(checkpoint))

    return Resumable


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
                trainer.save_model(str(settings.at / f"{checkpoints.BEST}{step}"))
            else:
                course.waited += 1
                control.should_training_stop = course.waited >= settings.tune.patience
            told.emit(step=step, validation=loss, best_step=course.best_step)

    return Watching()
