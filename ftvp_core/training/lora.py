"""LoRA with PEFT on the candidate's own prompts: the loss is on the answer and its end token alone.

The rows are tokenised here with the functions that answering uses, and trained by transformers' Trainer. TRL's
SFTTrainer would tokenise them once more by its own rules, and brings five packages to do it.

An adapter is a folder under `adapters/`, named by all that it comes from. It appears there complete, in one
rename, or not at all.
"""

import gc
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.models.local import (
    BadPrompt,
    Base,
    answer_ids,
    base_folder,
    known_warnings,
    out_of_memory,
    prompt_ids,
    resolved,
)
from ftvp_core.pricing.prices import machine_cost
from ftvp_core.runs.plan import Plan, tuning_rows
from ftvp_core.spec import TuneSpec
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.distil import Learned
from ftvp_core.types import Given, Message

#: Written last into an adapter's folder.
MARKER = "ftvp.json"
#: How training is done, beside its settings; a change makes new adapters.
RECIPE = 1
#: Settings that decide which answers are learned; the answers themselves are in an adapter's key.
OF_THE_TEACHER = ("teacher", "keep", "answers")
#: The label of a token that no loss is taken on.
NO_LOSS = -100
#: The store is told of the loss at most this often.
TELL_EVERY_S = 0.5


class Watched(Protocol):
    """Who watches a training: shown how far it is, and asked whether it should stop."""

    def progress(self, done: int, total: int, /) -> None: ...

    def cancelled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Tuning:
    """A training, under way or (with `seconds`) finished: its model's loading and saving are in its seconds."""

    adapter: str
    rows: int
    seconds: float | None = None
    device: str | None = None
    log: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A training row: what is asked, by the candidate's own prompt, and the answer to learn."""

    id: str
    messages: tuple[Message, ...]
    answer: str


#: Told of a training as it goes.
Keep = Callable[[Tuning], None]


def tuned_adapter(
    plan: Plan, at: int, lookup: Lookup, store: Store, run_id: str, watch: Watched, learned: Learned | None = None
) -> Path:
    """The adapter of a run's arm: made, or found from an earlier run. Raises UserError, RunStopped.

    `learned`: what a teacher's answers came to, where it has one.
    """
    prices = plan.spec.prices

    def keep(tuning: Tuning) -> None:
        per_hour = prices.machine_hour if tuning.device == "cpu" else prices.gpu_hour
        known = tuning.seconds is not None and per_hour is not None
        store.keep_tuning(
            run_id,
            at,
            adapter=tuning.adapter,
            rows=tuning.rows,
            seconds=tuning.seconds,
            cost_usd=machine_cost(tuning.seconds, per_hour) if known else None,  # type: ignore[arg-type]
            log=[list(entry) for entry in tuning.log],
            labels=learned.counts() if learned else None,
        )

    answers = learned.answers if learned else None
    return make_adapter(plan, at, lookup, Path(store.run(run_id).folder), keep, watch, answers)


def make_adapter(
    plan: Plan,
    at: int,
    lookup: Lookup,
    folder: Path,
    keep: Keep,
    watch: Watched,
    answers: Mapping[str, str] | None = None,
) -> Path:
    """The same for a comparison file in `folder`, with or without a run."""
    candidate = plan.arms[at].candidate
    where = f"candidate {candidate.name}"
    assert candidate.tune is not None
    rows = training_rows(plan, at, lookup, answers)
    if not rows:
        raise UserError(where, "found no row to train on that has a reference and isn't in the eval set")
    base = base_folder(resolved(candidate.model_name, folder))
    adapter = home() / "adapters" / _key(base, rows, candidate.tune)
    adapter.parent.mkdir(parents=True, exist_ok=True)
    with _alone(adapter, watch):
        done = _finished(adapter)
        if done is None:
            partial = adapter.with_name(f".{adapter.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
            try:
                done = _train(base, rows, candidate.tune, where, Tuning(str(adapter), len(rows)), partial, keep, watch)
                shutil.rmtree(adapter, ignore_errors=True)  # without its marker it isn't one of ours any more
                partial.rename(adapter)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
                gc.collect()  # the trainer's cycles hold the model, which answering loads again
    keep(done)
    return adapter


def training_rows(plan: Plan, at: int, lookup: Lookup, answers: Mapping[str, str] | None = None) -> list[Row]:
    """A candidate's training rows in its own prompt. A row is never among its own shots, answer and all.

    `answers`: what is learned instead of the references, by row id; rows without one are left out.
    """
    arm, sources = plan.arms[at], plan.sources
    assert arm.candidate.tune is not None and sources.train_set is not None
    examples = tuning_rows(arm.candidate.tune, sources.train_set, sources.eval_set)
    if answers is not None:
        examples = [example for example in examples if example.id in answers]
    rows = []
    for example, given in zip(examples, lookup(examples), strict=True):
        others = Given(given.passages, tuple(shot for shot in given.shots if shot[0].input != example.input))
        answer = example.references[0] if answers is None else answers[example.id]
        rows.append(Row(example.id, arm.render(example, others).messages, answer))
    return rows


def labelled(base: Base, rows: Sequence[Row], max_length: int, where: str) -> list[dict[str, list[int]]]:
    """The rows as tokens and labels. Nothing is cut: a row that is too long is a UserError for all of them."""
    features = []
    for row in rows:
        try:
            prompt = prompt_ids(base.tokenizer, row.messages)
            answer = answer_ids(base.tokenizer, row.messages, row.answer, base.stops)
        except BadPrompt as error:
            raise UserError(where, str(error), "change the prompt, such as leaving prompt.system out") from None
        features.append({"input_ids": [*prompt, *answer], "labels": [NO_LOSS] * len(prompt) + answer})
    for limit, what, remedy in (
        (base.context or math.inf, "the model's context", "shorten the prompt, or leave these rows out"),
        (max_length, "tune.max_length", "raise tune.max_length to {longest}, or leave these rows out"),
    ):
        sizes = {row.id: len(feature["input_ids"]) for row, feature in zip(rows, features, strict=True)}
        too_long = [row_id for row_id, size in sizes.items() if size > limit]
        if too_long:
            longest = max(sizes.values())
            named = ", ".join(too_long[:3]) + (", …" if len(too_long) > 3 else "")
            raise UserError(
                where,
                f"{len(too_long)} of {len(rows)} training rows are longer than {what} of {limit} tokens"
                f" (rows {named}; the longest has {longest})",
                remedy.format(longest=longest),
            )
    return features


def _train(
    base_at: Path, rows: Sequence[Row], tune: TuneSpec, where: str, tuning: Tuning, to: Path, keep: Keep, watch: Watched
) -> Tuning:
    """Train and save into `to`, its marker last. Raises RunStopped within a step of a cancel."""
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

    if watch.cancelled():
        raise RunStopped("cancelled")
    started = time.perf_counter()
    base = Base(base_at, _device(tune.device, where))
    keep(replace(tuning, device=base.device))
    features = labelled(base, rows, tune.max_length, where)
    set_seed(tune.seed)  # before the adapter's first weights are drawn
    modules = tune.target_modules if isinstance(tune.target_modules, str) else list(tune.target_modules)
    config = LoraConfig(
        r=tune.rank,
        lora_alpha=tune.alpha,
        lora_dropout=tune.dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )
    try:
        with known_warnings():
            model = get_peft_model(base.model, config)
    except ValueError as error:
        raise UserError(
            f"{where}.tune.target_modules", f"found {tune.target_modules!r} ({str(error)[:200]})", "try all-linear"
        ) from None
    arguments = TrainingArguments(
        output_dir=str(to),
        per_device_train_batch_size=tune.batch_size,
        num_train_epochs=tune.epochs,
        learning_rate=tune.learning_rate,
        seed=tune.seed,
        data_seed=tune.seed,
        use_cpu=not base.on_gpu,
        bf16=base.on_gpu,
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=base.on_gpu,
    )
    if base.on_gpu:
        arguments._n_gpu = 1  # the base is on one; with several in sight the Trainer would split each batch
    teller = _Teller(tuning, base.device, keep, watch)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=features,
        data_collator=_padded(base.pad),
        callbacks=[teller.callback()],
    )
    trainer.remove_callback(PrinterCallback)  # standard output is the command's own
    try:
        trainer.train()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise RunStopped(
            f"{where}: training doesn't fit in this machine's memory; lower tune.batch_size ({tune.batch_size})"
        ) from None
    model.save_pretrained(to)
    done = replace(tuning, seconds=time.perf_counter() - started, device=base.device, log=tuple(teller.log))
    about = asdict(done) | {
        "base": str(base_at),
        "tune": tune.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (to / MARKER).write_text(json.dumps(about) + "\n", encoding="utf-8")
    return done


class _Teller:
    """Between the training loop and who watches it."""

    def __init__(self, tuning: Tuning, device: str, keep: Keep, watch: Watched) -> None:
        self.log: list[tuple[int, float]] = []
        self._tuning = replace(tuning, device=device)
        self._keep = keep
        self._watch = watch
        self._told_at = -math.inf

    def callback(self) -> Any:
        from transformers import TrainerCallback

        teller = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                teller.stop_if_asked()

            def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    teller.tell(int(state.global_step), int(state.max_steps), float(logs["loss"]))

        return Callback()

    def stop_if_asked(self) -> None:
        if self._watch.cancelled():
            raise RunStopped("cancelled")

    def tell(self, step: int, steps: int, loss: float) -> None:
        self.stop_if_asked()
        if not math.isfinite(loss):
            raise RunStopped(f"training diverged: the loss is {loss} at step {step}; lower tune.learning_rate")
        self.log.append((step, loss))
        self._watch.progress(step, steps)
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._keep(replace(self._tuning, log=tuple(self.log)))


def _padded(pad: int) -> Callable[[Sequence[dict[str, list[int]]]], dict[str, Any]]:
    """Makes a batch of rows, padded on the right; padding is neither attended to nor learned."""
    import torch

    def batch(features: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        width = max(len(feature["input_ids"]) for feature in features)

        def column(values: Callable[[dict[str, list[int]]], list[int]], filler: int) -> Any:
            lists = [values(feature) for feature in features]
            return torch.tensor([each + [filler] * (width - len(each)) for each in lists])

        return {
            "input_ids": column(lambda feature: feature["input_ids"], pad),
            "attention_mask": column(lambda feature: [1] * len(feature["input_ids"]), 0),
            "labels": column(lambda feature: feature["labels"], NO_LOSS),
        }

    return batch


def _device(asked: str, where: str) -> str | None:
    import torch

    if asked not in {"auto", "cpu", "cuda"}:
        raise UserError(f"{where}.tune.device", f"found {asked!r}", "expected auto, cpu or cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{where}.tune.device", "found cuda, and this machine has no GPU", "set auto or cpu")
    return None if asked == "auto" else asked


def _key(base: Path, rows: Sequence[Row], tune: TuneSpec) -> str:
    """All that decides an adapter: the base's files, the rows as rendered, the settings that training reads."""
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(base.glob("*.*"))]
    settings = tune.model_dump(mode="json", exclude={"examples", "force", "keep_leaked", *OF_THE_TEACHER})
    content = [RECIPE, str(base.resolve()), files, [(row.messages, row.answer) for row in rows], settings]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _finished(adapter: Path) -> Tuning | None:
    try:
        about = json.loads((adapter / MARKER).read_text(encoding="utf-8"))
    except OSError:
        return None
    log = tuple((step, loss) for step, loss in about["log"])
    return Tuning(str(adapter), about["rows"], about["seconds"], about["device"], log)


@contextmanager
def _alone(adapter: Path, watch: Watched) -> Iterator[None]:
    """One process at a time makes an adapter; another waits for it, and then finds it. A dead one's lock is free."""
    from filelock import FileLock, Timeout

    lock = FileLock(adapter.with_name(f".{adapter.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if watch.cancelled():
                raise RunStopped("cancelled") from None
    try:
        yield
    finally:
        lock.release()
