"""TRL's SFTTrainer, made for rows that are tokens already, with checkpoints of this project's.

TRL takes token ids and labels as they are, so training and answering agree token for token; it takes the loss without
the logits of the whole vocabulary, and lays the rows of a batch end to end instead of padding them, where that takes
less and the model tells them apart. Whether it does is tried, not believed.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.marker import write_marker
from ftvp_core.models.local import Base, known_warnings, out_of_memory
from ftvp_core.spec import TuneSpec
from ftvp_core.training import checkpoints
from ftvp_core.training.loop import EVALUATIONS, Course, Settings, steps_an_epoch
from ftvp_core.training.memory import model_does_not_fit
from ftvp_core.training.rows import Feature

#: Of two rows laid end to end the second must be read as if alone: the largest difference of its logits, relative.
SAME = {"cpu": 1e-3, "cuda": 5e-2}
#: Every step is told of, by us alone.
AS_ALWAYS: Mapping[str, Any] = {
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "report_to": "none",
    "disable_tqdm": True,
    "eval_packing": False,
}


def make_trainer(
    model: Any,
    base: Base,
    train: Sequence[Feature],
    validation: Sequence[Feature],
    settings: Settings,
    instead_of: Sequence[Feature] | None = None,
) -> Any:
    """A trainer for `loop.run`. `instead_of`: a dry run's are laid out as these. Raises UserError for settings that it
    refuses."""
    from datasets import Dataset
    from transformers import PrinterCallback

    every = max(1, round(steps_an_epoch(train, settings.tune) / EVALUATIONS)) if validation else None
    arguments = _arguments(settings, _end_to_end(model, base, instead_of or train, settings), every)
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


def _arguments(settings: Settings, end_to_end: bool, evaluate_every: int | None) -> Any:
    """The settings as TRL has them. `evaluate_every`: steps; None without validation rows."""
    from trl import SFTConfig

    tune, dry = settings.tune, settings.is_dry
    # Packed sequences go one at a time: laid end to end, each token would meet all of the others' too.
    batch, accumulation = tune.batch_size, tune.gradient_accumulation
    if tune.packing:
        batch, accumulation = 1, batch * accumulation
    with known_warnings():
        arguments = SFTConfig(
            **AS_ALWAYS,
            output_dir=str(settings.at),
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=tune.batch_size,
            gradient_accumulation_steps=accumulation,
            gradient_checkpointing=tune.gradient_checkpointing,
            num_train_epochs=tune.epochs,
            max_steps=settings.max_steps if dry else tune.max_steps or -1,
            learning_rate=0.0 if dry else tune.rate,
            lr_scheduler_type=tune.scheduler,
            warmup_steps=tune.warmup,  # below 1 a share of the steps
            weight_decay=tune.weight_decay,
            max_grad_norm=tune.max_grad_norm,
            seed=tune.seed,
            data_seed=tune.seed,
            use_cpu=not settings.on_gpu,
            bf16=settings.on_gpu,
            dataloader_pin_memory=settings.on_gpu,
            packing=tune.packing,
            padding_free=end_to_end,
            max_length=tune.max_length if tune.packing else None,  # no row is longer
            save_strategy="no" if dry else "steps",
            save_steps=tune.save_steps,
            eval_strategy="steps" if evaluate_every else "no",
            eval_steps=evaluate_every,
            train_sampling_strategy="sequential" if dry else "random",
        )
    if settings.on_gpu:
        arguments._n_gpu = 1  # the base is on one; TRL refuses a model that the Trainer would split over several
    return arguments


def _end_to_end(model: Any, base: Base, rows: Sequence[Feature], settings: Settings) -> bool:
    """Whether a batch's rows are laid end to end. Raises UserError where packing has to, and the model can't tell."""
    if settings.tune.packing:
        if not _reads_apart(model, base, rows, settings):
            where = f"{settings.where}.tune.packing"
            raise UserError(where, "found true, and this model mixes up rows that lie end to end", "leave it out")
        return True
    return _takes_less(base, rows, settings.tune) and _reads_apart(model, base, rows, settings)


def _takes_less(base: Base, rows: Sequence[Feature], tune: TuneSpec) -> bool:
    """Whether rows end to end take less arithmetic than padded ones.

    No token is padding then, but without flash attention each one meets all of the batch's. Forwards, a token takes 2
    operations a parameter, and 4 a layer and hidden unit for each that it meets (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B).
    """
    config = base.model.config.get_text_config()
    if "flash" in (config._attn_implementation or ""):
        return True
    a_token = 2 * base.model.num_parameters(exclude_embeddings=True)
    a_pair = 4 * config.num_hidden_layers * config.hidden_size
    lengths = [len(row["input_ids"]) for row in rows]
    random.Random(tune.seed).shuffle(lengths)
    batches = [lengths[at : at + tune.batch_size] for at in range(0, len(lengths), tune.batch_size)]
    laid = sum(sum(batch) * (a_token + a_pair * sum(batch)) for batch in batches)
    padded = sum(len(batch) * max(batch) * (a_token + a_pair * max(batch)) for batch in batches)
    return bool(laid < padded)


def _reads_apart(model: Any, base: Base, features: Sequence[Feature], settings: Settings) -> bool:
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
            raise model_does_not_fit(settings.where, settings.tune) from None
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
            write_marker(at, {**self._kept, "course": asdict(self.course)})
            checkpoints.only_newest(folder, self.course.best_step)

        def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                checkpoints.load_state(Path(checkpoint), self.optimizer, self.lr_scheduler)

        def _load_rng_state(self, checkpoint: str | None) -> None:
            if checkpoint is not None:
                checkpoints.load_random(Path(checkpoint))

    return Resumable
