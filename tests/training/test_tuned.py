"""Tuning: the loss is on the answer alone, what is learned is answered, and a tuned model is whole or not there."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftvp_core.__main__ import main
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.marker import MARKER
from ftvp_core.models.local import PLAIN_TEMPLATE, Base, open_model
from ftvp_core.spec import TuneSpec
from ftvp_core.store.opening import open_store
from ftvp_core.training import process as processes
from ftvp_core.training.process import TrainingProcess
from ftvp_core.training.rows import Row, held_out, labelled, training_rows
from ftvp_core.training.tuned import Tuning, make_adapter
from ftvp_core.types import Example, Given, Message, Passage
from tests.tiny_model import END, make_model
from tests.training.conftest import PROMPT, WORDS, Watch, nothing_looked_up, plan_of, write


def test_twenty_rows_are_learned_and_the_base_does_not_answer_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert first.about["expected_s"] > 0
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

    # Asked otherwise than it was trained, it isn't asked at all.
    other = {**PROMPT, "system": "Answer in Korean."}
    asked = write(folder, {"name": "given", "adapter": f"home/adapters/{adapter.name}", "prompt": other})
    capsys.readouterr()
    assert main(["run", str(asked)]) == 1
    assert (
        "candidate given.adapter: was trained with the system prompt 'Answer.' and would be asked with the system prompt"
        " 'Answer in Korean.'; give it the prompt.system that it was trained with\n"
    ) in capsys.readouterr().err
    (folder / "tiny" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert main(["run", str(given)]) == 1
    assert "was trained with another chat template than" in capsys.readouterr().err


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
    folder: Path, monkeypatch: pytest.MonkeyPatch, process: TrainingProcess
) -> None:
    def weights(home: str, seed: int) -> bytes:
        monkeypatch.setenv("FTVP_HOME", str(folder / home))
        plan = plan_of(write(folder, {"name": "lora", "tune": {"epochs": 1, "dropout": 0.1, "seed": seed}}))
        told: list[Tuning] = []
        adapter = make_adapter(plan, 0, nothing_looked_up, folder, told.append, Watch(), process)
        assert (told[-1].rows, len(told[-1].log)) == (20, 5)
        return (adapter / "adapter_model.safetensors").read_bytes()

    # The base stays loaded between them, and each finds it as the first did.
    assert weights("one", 3) == weights("two", 3) != weights("three", 4)


def test_trainings_in_turn_load_their_base_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sweep's points, or several candidates of one base, share."""
    counted = folder / "loaded"
    program = (
        "import ftvp_core.training.methods as at; load = at._load\n"
        f"at._load = lambda *asked: (open({str(counted)!r}, 'a').write('once\\n'), load(*asked))[1]\n"
        "from ftvp_core.training.child import main; main()"
    )
    monkeypatch.setattr(processes, "CHILD", [sys.executable, "-P", "-c", program])
    sweep = {"candidate": "lora", "over": "tune.rank", "values": [2, 4, 8, 16]}
    plan = plan_of(write(folder, {"name": "lora", "tune": {"epochs": 1}}, sweeps=[sweep]))
    with TrainingProcess() as one:
        made = [make_adapter(plan, at, nothing_looked_up, folder, lambda _: None, Watch(), one) for at in range(1, 5)]
    assert len(set(made)) == 4 and counted.read_text() == "once\n"


def test_a_training_is_measured_before_it_starts_and_says_how_it_goes(folder: Path, process: TrainingProcess) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"epochs": 2}}))
    told: list[Tuning] = []
    make_adapter(plan, 0, nothing_looked_up, folder, told.append, Watch(), process)
    measured = next(one for one in told if one.expected_s is not None)
    assert not measured.log and measured.steps == 10
    assert measured.expected_s is not None and 0 < measured.expected_s < 60
    # Of this process, with torch in it: more than its code, less than the machine has.
    assert measured.expected_bytes is not None and 100e6 < measured.expected_bytes < 8e9
    done = told[-1]
    assert done.seconds is not None and done.tokens_per_s is not None and done.tokens_per_s > 0
    assert (done.device, done.steps, done.memory_bytes is not None) == ("cpu", 10, True)


def test_rows_are_held_out_and_the_best_weights_on_them_are_kept(folder: Path, process: TrainingProcess) -> None:
    """What is learned by heart gets worse on other rows: training ends early, with the weights from before that."""
    tune = {"validation": 0.25, "patience": 2, "epochs": 60}
    plan = plan_of(write(folder, {"name": "lora", "tune": tune}))
    told: list[Tuning] = []
    make_adapter(plan, 0, nothing_looked_up, folder, told.append, Watch(), process)
    done = told[-1]
    assert (done.rows, done.validation_rows) == (15, 5)
    losses = dict(done.validation)
    assert done.best_step == min(losses, key=lambda step: losses[step])
    steps = [step for step, _ in done.validation]
    assert steps[-3] == done.best_step  # two evaluations without a better one, and no more
    assert done.log[-1][0] == steps[-1] < 240


def test_repeated_questions_stay_on_one_side(folder: Path) -> None:
    rows = [f"item {n} of {word},{word}" for n, word in enumerate(WORDS * 3)]
    again = [f"Item {n}  of {word}!,{word}" for n, word in enumerate(WORDS * 3)]
    (folder / "rows.csv").write_text("text,answer\n" + "\n".join([*rows, *again]) + "\n")
    plan = plan_of(write(folder, {"name": "lora", "tune": {"validation": 0.3}}))
    train, apart = held_out(plan, 0, training_rows(plan, 0, nothing_looked_up))
    assert len(train) + len(apart) == 48 and apart

    def asked(rows: Sequence[Row]) -> set[str]:
        return {" ".join(row.messages[-1].content.lower().strip("!").split()) for row in rows}

    assert not asked(train) & asked(apart)


def test_a_small_set_is_trained_on_whole_and_a_large_one_is_not() -> None:
    default = TuneSpec()
    assert default.validation_share(99) == 0 < default.validation_share(100)
    assert TuneSpec(validation=0.2).validation_share(20) == 0.2
    assert TuneSpec(validation=0).validation_share(1000) == 0


def test_a_diverged_training_says_so(folder: Path, process: TrainingProcess) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"learning_rate": 1e30}}))
    with pytest.raises(RunStopped, match=r"lora: .*the loss is nan at step \d+; lower tune\.learning_rate"):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch(), process)


def test_a_training_that_changes_nothing_is_no_tuned_model(folder: Path, process: TrainingProcess) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"learning_rate": 1e-30, "epochs": 1}}))
    with pytest.raises(RunStopped, match=r"changed nothing: .* raise tune\.learning_rate"):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch(), process)
    assert not any((folder / "home" / "adapters").glob("[!.]*"))


def test_rows_that_would_be_cut_are_refused(folder: Path, process: TrainingProcess) -> None:
    plan = plan_of(write(folder, {"name": "lora", "tune": {"max_length": 30}}))
    said = r"longer than tune\.max_length of 30 tokens \(rows .*; the longest has 3\d\); raise tune\.max_length to 3\d"
    with pytest.raises(UserError, match=said):
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch(), process)
    base = Base(folder / "tiny")
    with pytest.raises(UserError, match="1 of 1 training rows are longer than the model's context of 256 tokens"):
        labelled(base, [Row("1", (Message("user", "x" * 300),), "y")], 2048, "candidate lora")


@pytest.mark.usefixtures("trains_in_turn")
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
