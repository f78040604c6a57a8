"""QLoRA and full tuning answer what they learned, and what the trainer does with rows is what is said of it."""

import json
import math
import random
from dataclasses import replace
from operator import mul
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.__main__ import main
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.models.local import DEMO, Base, open_model
from ftvp_core.spec import TuneSpec
from ftvp_core.store.opening import open_store
from ftvp_core.training import trainer
from ftvp_core.training.estimate import measure
from ftvp_core.training.loop import Course, Settings, run
from ftvp_core.training.methods import load, restore, trainable
from ftvp_core.training.rows import NO_LOSS, Feature, labelled, training_rows
from ftvp_core.training.trainer import make_trainer
from tests.tiny_model import make_model
from tests.training.conftest import TUNE, nothing_looked_up, plan_of, write


class Silent:
    def emit(self, **_: Any) -> None:
        """Nobody watches."""

    def hold(self) -> float:
        return 0.0


@pytest.mark.usefixtures("trains_in_turn")
def test_qlora_and_full_tuning_learn_and_the_base_does_not_answer_for_them(folder: Path) -> None:
    file = write(
        folder,
        {"name": "base"},
        {"name": "qlora", "tune": {"method": "qlora"}},
        {"name": "full", "tune": {"method": "full", "learning_rate": 2e-3}},
        {"name": "again"},
    )
    assert main(["run", str(file), "--json", str(folder / "report.json")]) == 0
    report = json.loads((folder / "report.json").read_text())
    base, qlora, full, again = (one["accuracy"] for one in report["candidates"])
    assert base == again == 0
    assert qlora >= 0.9 and full >= 0.95
    whole = Path(open_store().tunings(report["run_id"])[2].adapter)
    assert {"config.json", "model.safetensors", "tokenizer.json", "ftvp.json"} <= {one.name for one in whole.iterdir()}
    assert (whole / "config.json").read_bytes() == (folder / "tiny" / "config.json").read_bytes()
    assert not [one for one in whole.iterdir() if one.suffix in {".bin", ".pt", ".pth"}]
    given = write(folder, {"name": "given", "model": f"local/{whole}"})
    assert main(["run", str(given), "--json", str(folder / "report.json")]) == 0
    assert json.loads((folder / "report.json").read_text())["candidates"][0]["accuracy"] == full
    assert main(["export", report["run_id"], "--adapter", "qlora", "--to", str(folder / "out")]) == 0
    exported = write(folder, {"name": "exported", "adapter": "out/qlora"})
    assert main(["run", str(exported), "--json", str(folder / "report.json")]) == 0
    assert json.loads((folder / "report.json").read_text())["candidates"][0]["accuracy"] == qlora
    assert open_model(str(folder / "tiny"), folder / "out" / "qlora", {}).group.base.model.is_loaded_in_4bit


def features_of(folder: Path, **tune: Any) -> tuple[Base, list[Feature], TuneSpec]:
    spec = TuneSpec(**(TUNE | {"epochs": 1} | tune))
    plan = plan_of(write(folder, {"name": "lora", "tune": {}}))
    base = load(folder / "tiny", spec, "candidate lora", {})
    return base, labelled(base, training_rows(plan, 0, nothing_looked_up), 64, "candidate lora"), spec


def losses(base: Base, features: list[Feature], tune: TuneSpec, at: Path) -> list[float]:
    settings = Settings(tune, at, "candidate lora", on_gpu=False)
    model = trainable(base, tune, "candidate lora")
    course = Course()
    run(make_trainer(model, base, features, [], settings), course, Silent(), settings)
    restore(base, model)
    return [loss for _, loss in course.log]


@pytest.fixture
def end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows as short and as alike as these are padded, unless the model is told that it takes more."""
    monkeypatch.setattr("ftvp_core.training.trainer._takes_less", lambda *_: True)


@pytest.mark.usefixtures("end_to_end")
def test_rows_laid_end_to_end_are_learned_as_if_each_were_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle is a padded batch, which TRL makes where the model can't tell the rows apart."""
    base, features, tune = features_of(folder)
    together = losses(base, features, tune, folder / "together")
    monkeypatch.setattr("ftvp_core.training.trainer._reads_apart", lambda *_: False)
    assert losses(base, features, tune, folder / "padded") == pytest.approx(together, rel=1e-4)


def test_gradients_that_are_computed_again_are_the_same(folder: Path) -> None:
    base, features, tune = features_of(folder)
    kept = losses(base, features, tune, folder / "kept")
    base, features, tune = features_of(folder, gradient_checkpointing=True)
    assert losses(base, features, tune, folder / "again") == pytest.approx(kept, rel=1e-4)


@pytest.mark.parametrize(("lengths", "batch", "expected"), [((10, 120), 8, True), ((300, 500), 8, False)])
def test_rows_are_laid_end_to_end_where_that_takes_less(
    lengths: tuple[int, int], batch: int, expected: bool, tmp_path: Path
) -> None:
    """Measured on the demo's model: 0.68 and 1.83 of a padded training's seconds."""
    base = Base(DEMO, "cpu")
    draw = random.Random(0)
    rows = [{"input_ids": [5] * n, "labels": [5] * n} for n in (draw.randint(*lengths) for _ in range(64))]
    tune = TuneSpec(batch_size=batch)
    settings = Settings(tune, tmp_path, "x", on_gpu=False)
    assert make_trainer(trainable(base, tune, "x"), base, rows, [], settings).padding_free is expected


def test_packed_rows_are_each_read_alone_and_every_token_is_there_in_fewer_steps(folder: Path) -> None:
    """The oracle is the model on each row by itself, the answers' losses averaged over all their tokens."""
    import torch

    base, features, tune = features_of(folder, packing=True, max_length=256, batch_size=1)
    with torch.no_grad():
        alone = [base.model(**{key: torch.tensor([row[key]]) for key in row}).loss.item() for row in features]
    answers = [sum(label != NO_LOSS for label in row["labels"]) for row in features]
    settings = Settings(tune, folder / "packed", "candidate lora", on_gpu=False)
    one = make_trainer(trainable(base, tune, "candidate lora"), base, features, features, settings)
    packed = one.train_dataset
    learned = [sum(label != NO_LOSS for label in row["labels"]) for row in packed]
    each = [one.evaluate(packed.select([at]))["eval_loss"] for at in range(len(packed))]
    assert sum(map(mul, each, learned)) / sum(learned) == pytest.approx(
        sum(map(mul, alone, answers)) / sum(answers), rel=1e-4
    )
    assert one.args.eval_steps == round(len(packed) / 2), "twice an epoch of packed sequences, not of rows"
    assert sorted(token for row in packed for token in row["input_ids"]) == sorted(
        token for feature in features for token in feature["input_ids"]
    )
    assert len(packed) < len(features) / 4
    assert all(len(row["input_ids"]) <= 256 for row in packed)


def test_packed_sequences_that_go_one_at_a_time_are_learned_as_a_batch_of_them_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is TRL's own batch, all sequences laid end to end."""
    base, features, tune = features_of(folder, packing=True, max_length=100, batch_size=4, max_grad_norm=1e9)
    ours = losses(base, features, tune, folder / "ours")
    made = trainer._arguments

    def as_trl_has_it(*asked: Any) -> Any:
        arguments = made(*asked)
        arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = 4, 1
        return arguments

    monkeypatch.setattr(trainer, "_arguments", as_trl_has_it)
    assert losses(base, features, tune, folder / "theirs") == pytest.approx(ours, rel=1e-4)
    assert len(ours) == 2, "the second after a step"


def test_a_dry_run_packs_as_the_training_will(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, features, tune = features_of(folder, packing=True, max_length=100, batch_size=2, epochs=3)
    tried: list[Any] = []

    def watched(one: Any, *rest: Any) -> None:
        tried.append(one)
        run(one, *rest)

    monkeypatch.setattr("ftvp_core.training.estimate.run", watched)
    model = trainable(base, tune, "candidate lora")
    found = measure(model, base, features, [], tune, "candidate lora", Silent())
    tokens = sum(len(row["input_ids"]) for row in features)
    assert found.steps == 3 * math.ceil(tokens / 100 / 2)
    assert min(len(row["seq_lengths"]) for row in tried[0].train_dataset) >= 2, "each is of several rows"


@pytest.mark.usefixtures("end_to_end")
def test_a_model_that_mixes_rows_up_is_given_padded_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that ignores positions reads the second row with the first before it."""
    base, features, tune = features_of(folder)
    forward = type(base.model).forward

    def without_positions(self: Any, *rest: Any, **keys: Any) -> Any:
        keys.pop("position_ids", None)
        return forward(
            self, *rest, **{key: keys[key] for key in keys if not key.startswith(("cu_seq", "max_l", "seq"))}
        )

    settings = Settings(tune, folder / "any", "candidate lora", on_gpu=False)
    assert make_trainer(trainable(base, tune, "x"), base, features, [], settings).padding_free
    base, features, tune = features_of(folder)
    monkeypatch.setattr(type(base.model), "forward", without_positions)
    assert not make_trainer(trainable(base, tune, "x"), base, features, [], settings).padding_free
    base, features, tune = features_of(folder, packing=True)
    packing = replace(settings, tune=tune)
    with pytest.raises(UserError, match=r"lora\.tune\.packing: found true, and this model mixes up rows"):
        make_trainer(trainable(base, tune, "x"), base, features, [], packing)


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({}, r"lower tune\.batch_size \(4\)"),
        ({"batch_size": 1}, r"set tune\.gradient_checkpointing: true"),
        ({"batch_size": 1, "gradient_checkpointing": True}, r"set tune\.method: qlora"),
    ],
)
def test_a_training_without_enough_memory_says_what_to_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tune: dict[str, Any], said: str
) -> None:
    import torch
    from transformers import Trainer

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    base, features, spec = features_of(folder, **tune)
    monkeypatch.setattr(Trainer, "training_step", full)
    with pytest.raises(RunStopped, match=f"candidate lora: training doesn't fit in this machine's memory; {said}"):
        losses(base, features, spec, folder / "full")


@pytest.mark.parametrize(
    ("kind", "target_modules", "said"),
    [
        (
            "mamba",
            "all-linear",
            r"found 'all-linear' \(.*Module 'out_proj' is incompatible.*\); .*: dt_proj, in_proj, x_proj$",
        ),
        (
            "llama",
            ["nope"],
            r"found \('nope',\) \(.*not found in the base model.*\); give .*: down_proj, gate_proj, k_proj,",
        ),
        ("gpt2", "none_such", r"found 'none_such' \(.*not found in the base model.*\); give .*: c_attn, c_fc, c_proj$"),
        ("llama", "*_proj", r"found '\*_proj' \(nothing to repeat.*\); give .*: down_proj,"),
    ],
)
def test_modules_that_take_no_adapter_are_refused_with_those_that_do(
    tmp_path: Path, kind: str, target_modules: Any, said: str
) -> None:
    tune = TuneSpec(target_modules=target_modules)
    with pytest.raises(UserError, match=rf"^candidate lora\.tune\.target_modules: {said}"):
        trainable(Base(make_model(tmp_path / kind, kind=kind), "cpu"), tune, "candidate lora")


@pytest.mark.usefixtures("trains_in_turn")
def test_a_state_space_model_is_tuned_on_the_modules_that_the_refusal_names(folder: Path) -> None:
    make_model(folder / "mamba", kind="mamba")
    for modules, status in (("all-linear", 1), (["in_proj", "x_proj", "dt_proj"], 0)):
        candidate = {"name": "lora", "model": "local/mamba", "tune": {"target_modules": modules, "epochs": 1}}
        assert main(["train", str(write(folder, candidate)), "--candidate", "lora"]) == status


def test_an_adapter_on_the_head_is_refused_with_its_key(folder: Path) -> None:
    base, features, tune = features_of(folder, target_modules=["lm_head"])
    with pytest.raises(UserError, match=r"tune\.target_modules: an adapter on lm_head can't be trained"):
        losses(base, features, tune, folder / "head")


@pytest.mark.usefixtures("end_to_end")
def test_learned_positions_are_each_row_s_own(tmp_path: Path) -> None:
    """GPT-2's positions are embeddings: a row that lies behind others still begins at the first."""
    base = Base(make_model(tmp_path / "gpt2", kind="gpt2"), "cpu")
    rows = [{"input_ids": [3, *range(10, 10 + n)], "labels": [-100, *range(10, 10 + n)]} for n in (20, 24, 28, 32)]
    settings = Settings(TuneSpec(), tmp_path / "out", "x", on_gpu=False)
    assert make_trainer(trainable(base, TuneSpec(), "x"), base, rows, [], settings).padding_free


def test_each_method_has_a_learning_rate_of_its_own() -> None:
    lora, full = TuneSpec(), TuneSpec(method="full")
    assert lora.rate == 10 * full.rate
    assert TuneSpec(method="full", learning_rate=1e-3).rate == 1e-3
