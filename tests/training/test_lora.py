"""LoRA: the loss is on the answer alone, what is learned is answered, and an adapter is whole or not there."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftvp_core.__main__ import main
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.models.local import PLAIN_TEMPLATE, Base, open_model
from ftvp_core.runs.plan import Plan, make_plan, read_sources
from ftvp_core.spec import load
from ftvp_core.store.opening import open_store
from ftvp_core.training.lora import MARKER, Row, Tuning, labelled, make_adapter, training_rows
from ftvp_core.types import Example, Given, Message, Passage
from tests.tiny_model import END, make_model

WORDS = ["blue", "red", "tall", "slow", "cold", "wide", "dark", "soft"]
TUNE: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0, "epochs": 30, "max_length": 64, "keep_leaked": True}
PROMPT = {"system": "Answer.", "user": "{text}"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, and 20 rows whose answers can only be learned by heart."""
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    make_model(tmp_path / "tiny")
    draw = random.Random(1)
    rows = [f"item {n} {draw.choice(WORDS)},{draw.choice(WORDS)} {draw.choice(WORDS)}" for n in range(20)]
    (tmp_path / "rows.csv").write_text("text,answer\n" + "\n".join(rows) + "\n")
    return tmp_path


def write(folder: Path, *candidates: dict[str, Any], **more: Any) -> Path:
    """A comparison file; `tune: {…}` of a candidate is on top of TUNE."""
    rows = {"path": "rows.csv", "input": "text", "reference": "answer"}
    settings = {"model": "local/tiny", "prompt": PROMPT, "sampling": {"max_tokens": 12}}
    full = [
        settings | candidate | ({"tune": TUNE | candidate["tune"]} if "tune" in candidate else {})
        for candidate in candidates
    ]
    keys = {"eval_set": rows, "train_set": rows, "prices": {"machine_hour": 0.20}, "candidates": full, **more}
    file = folder / "comparison.yaml"
    file.write_text(yaml.safe_dump(keys))
    return file


def plan_of(file: Path) -> Plan:
    spec = load(file)
    return make_plan(spec, read_sources(spec, file.parent))


def nothing_looked_up(examples: Sequence[Example]) -> list[Given]:
    return [Given() for _ in examples]


@dataclass
class Watch:
    """Cancels after some steps, if told to."""

    cancel_after: int | None = None
    steps: list[int] = field(default_factory=list)

    def progress(self, done: int, _total: int) -> None:
        self.steps.append(done)

    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.steps) >= self.cancel_after


def test_twenty_rows_are_learned_and_the_base_does_not_answer_them(folder: Path) -> None:
    file = write(folder, {"name": "base"}, {"name": "lora", "tune": {}}, {"name": "base again"})
    assert main(["run", str(file), "--json", str(folder / "report.json")]) == 0
    report = json.loads((folder / "report.json").read_text())
    base, lora, again = report["candidates"]
    assert base["accuracy"] == again["accuracy"] == 0
    assert lora["accuracy"] >= 0.95
    assert (lora["method"], lora["n_failed"]) == ("fine-tuned", 0)
    store = open_store()
    first = store.tunings(report["run_id"])[1]
    assert first.log[0][1] > 4 > 0.3 > first.log[-1][1]
    assert [step for step, _ in first.log] == list(range(1, 151))
    assert lora["training_cost_usd"] == pytest.approx(first.seconds * 0.20 / 3600)
    adapter = Path(first.adapter)
    assert adapter.parent == folder / "home" / "adapters"
    assert {path.name for path in adapter.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", MARKER,
    }  # fmt: skip

    written = (adapter / MARKER).stat().st_mtime_ns
    assert main(["run", str(file), "--json", str(folder / "report.json")]) == 0
    second = json.loads((folder / "report.json").read_text())
    assert (adapter / MARKER).stat().st_mtime_ns == written
    reused = store.tunings(second["run_id"])[1]
    assert (reused.adapter, reused.seconds, reused.cost_usd) == (first.adapter, first.seconds, first.cost_usd)
    assert second["candidates"][1]["accuracy"] == lora["accuracy"]

    given = write(folder, {"name": "given", "adapter": f"home/adapters/{adapter.name}"})
    assert main(["run", str(given), "--json", str(folder / "report.json")]) == 0
    assert json.loads((folder / "report.json").read_text())["candidates"][0]["accuracy"] == lora["accuracy"]


def test_the_loss_is_on_the_answer_and_its_end_and_the_prompt_is_the_one_that_is_sent(folder: Path) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {}}))
    rows = training_rows(plan, 0, nothing_looked_up)
    base = Base(folder / "tiny")
    served = open_model(str(folder / "tiny"), None, {})
    features = labelled(base, rows, 64, "candidate lora")
    assert len(features) == len(rows) == 20
    by_input = {example.input: example for example in plan.sources.eval_set.examples}
    for row, feature in zip(rows, features, strict=True):
        ids, labels = feature["input_ids"], feature["labels"]
        begins = next(at for at, label in enumerate(labels) if label != -100)
        sent = plan.arms[0].render(by_input[row.messages[-1].content], Given())
        assert ids[:begins] == served.prompt_ids(sent)
        assert labels[begins:] == ids[begins:]
        assert labels[-1] == END
        assert base.tokenizer.decode(labels[begins:-1]) == row.answer
        # The template's own marks say the same.
        turns = [message._asdict() for message in (*row.messages, Message("assistant", row.answer))]
        marked = base.tokenizer.apply_chat_template(turns, return_assistant_tokens_mask=True, return_dict=True)
        assert marked["input_ids"] == ids
        assert [label != -100 for label in labels] == [bool(mark) for mark in marked["assistant_masks"]]


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(None, id="none"),
        pytest.param(
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|><think>{% endif %}",
            id="a begun thought, no end",
        ),
        pytest.param(
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{{ '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}",
            id="a line break after the end",
        ),
    ],
)
def test_any_template_s_answer_follows_the_prompt_and_ends(tmp_path: Path, template: str | None) -> None:
    base = Base(make_model(tmp_path, template=template))
    served = open_model(str(tmp_path), None, {})
    row = Row("1", (Message("user", "item <|end|>"),), "blue red")
    [feature] = labelled(base, [row], 64, "candidate")
    answer = [label for label in feature["labels"] if label != -100]
    prompt = feature["input_ids"][: -len(answer)]
    assert prompt == served.group.base.tokenizer.apply_chat_template(
        [{"role": "user", "content": "item <|end|>"}],
        chat_template=template or PLAIN_TEMPLATE,
        add_generation_prompt=True,
        sanitize_control_tokens=True,
        return_dict=False,
    )
    assert base.tokenizer.decode(answer[:-1]).strip() == "blue red"
    assert answer[-1] == END and answer.count(END) == 1


def test_a_row_is_not_among_its_own_shots_and_passages_are_in_the_prompt(folder: Path) -> None:
    shots = {"k": 2, "select": "random"}
    plan = plan_of(write(folder, {"name": "lora", "tune": {}, "shots": shots | {"k": 0}}))
    assert plan.sources.train_set is not None
    first, second = plan.sources.train_set.examples[:2]
    passage = Passage("p", "p", "a passage")

    def looked_up(examples: Sequence[Example]) -> list[Given]:
        return [Given((passage,), ((first, ()), (second, ()))) for _ in examples]

    for row in training_rows(plan, 0, looked_up):
        shown = [message.content for message in row.messages if message.role == "user"][:-1]
        assert row.messages[-1].content not in shown
        assert set(shown) <= {first.input, second.input} and shown


def test_the_same_seed_gives_the_same_adapter_and_another_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(home: str, seed: int) -> bytes:
        monkeypatch.setenv("FTVP_HOME", str(folder / home))
        plan = plan_of(write(folder, {"name": "lora", "tune": {"epochs": 1, "dropout": 0.1, "seed": seed}}))
        told: list[Tuning] = []
        adapter = make_adapter(plan, 0, nothing_looked_up, folder, told.append, Watch())
        assert (told[-1].rows, len(told[-1].log)) == (20, 5)
        return (adapter / "adapter_model.safetensors").read_bytes()

    assert weights("one", 3) == weights("two", 3) != weights("three", 4)


def test_a_cancelled_training_stops_at_once_and_leaves_nothing(folder: Path) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"epochs": 1000}}))
    watch = Watch(cancel_after=3)
    with pytest.raises(RunStopped, match="cancelled"):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, watch)
    assert watch.steps == [1, 2, 3]
    assert [path.suffix for path in (folder / "home" / "adapters").iterdir()] == [".lock"]


def test_a_diverged_training_says_so(folder: Path) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"learning_rate": 1e30}}))
    with pytest.raises(RunStopped, match=r"the loss is nan at step \d+; lower tune\.learning_rate"):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch())


def test_a_training_without_enough_memory_says_what_to_lower(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import Trainer

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "training_step", full)
    plan = plan_of(write(folder, {"name": "lora", "tune": {}}))
    with pytest.raises(RunStopped, match=r"doesn't fit in this machine's memory; lower tune\.batch_size \(4\)"):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch())


def test_a_training_killed_before_its_marker_leaves_no_adapter(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(folder, {"name": "lora", "tune": {"epochs": 1}})
    # Killed where it is worst: the weights are written, the marker isn't.
    program = (
        "import os, sys, ftvp_core.training.lora as lora; lora.version = lambda _: os.kill(os.getpid(), 9);"
        "from ftvp_core.__main__ import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "train", str(file), "--candidate", "lora"]
    killed = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    adapters = folder / "home" / "adapters"
    [partial] = adapters.glob(".*.partial")
    assert (partial / "adapter_model.safetensors").exists()
    assert not [path for path in adapters.iterdir() if not path.name.startswith(".")]

    assert main(["train", str(file), "--candidate", "lora"]) == 0
    printed = Path(capsys.readouterr().out.strip())
    assert printed.parent == adapters and (printed / MARKER).exists()
    assert not list(adapters.glob(".*.partial"))


def test_rows_that_would_be_cut_are_refused(folder: Path) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"max_length": 30}}))
    said = r"longer than tune\.max_length of 30 tokens \(rows .*; the longest has 3\d\); raise tune\.max_length to 3\d"
    with pytest.raises(UserError, match=said):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch())
    base = Base(folder / "tiny")
    with pytest.raises(UserError, match="1 of 1 training rows are longer than the model's context of 256 tokens"):
        labelled(base, [Row("1", (Message("user", "x" * 300),), "y")], 2048, "candidate lora")


def test_train_names_what_is_wrong_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(folder, {"name": "base"}, {"name": "lora", "tune": {"target_modules": ["nope"]}})
    for name, said in (
        ("base", "candidate base: has no tune"),
        ("other", "there is no candidate 'other'; expected one of base, lora"),
        ("lora", "candidate lora.tune.target_modules: found ('nope',)"),
    ):
        assert main(["train", str(file), "--candidate", name]) == 1
        found = capsys.readouterr()
        assert said in found.err and found.err.count("\n") == 1 and not found.out
    for wrong, said in (
        ({"name": "base", "model": "local/./none"}, f"there is no folder {folder}/none;"),
        ({"name": "base", "adapter": "none"}, f"adapter {folder}/none: has no adapter_config.json"),
        ({"name": "lora", "tune": {"device": "tpu"}}, "tune.device: found 'tpu'; expected auto, cpu or cuda"),
    ):
        file = write(folder, wrong)
        status = main(["train", "--candidate", "lora", str(file)] if "tune" in wrong else ["run", str(file)])
        found = capsys.readouterr()
        assert (status, found.err.count("\n"), said in found.err or found.err) == (1, 1, True)
