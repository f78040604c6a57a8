"""What comes after a training, on one run of a tiny model: before and after, what is forgotten, curves, export."""

import json
import random
import resource
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from ftvp_core.errors import UserError
from ftvp_core.jobs.export import adapter_zip, export_next, write_merged
from ftvp_core.jobs.progress import run_progress
from ftvp_core.report.load import load_report
from ftvp_core.report.share import open_shared, share
from ftvp_core.report.write import to_json
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.runs.stored import stored_plan
from ftvp_core.spec import load, parse
from ftvp_core.store import exports
from ftvp_core.store.opening import open_store
from ftvp_core.store.schema import results, runs
from tests.tiny_model import make_adapter, make_model

ROOT = Path(__file__).parents[2]
TUNE: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0, "epochs": 20, "max_length": 64, "keep_leaked": True}


class Made(NamedTuple):
    folder: Path
    report: dict[str, Any]


def keys_of(folder: Path) -> dict[str, Any]:
    """16 rows to learn by heart, and 14 more. What the base says of other rows is what can be forgotten."""
    asks = {"model": "local/tiny", "prompt": {"user": "{text}"}, "sampling": {"max_tokens": 8}}
    rows = {"path": "rows.csv", "input": "text", "reference": "answer"}
    return {
        "name": "after",
        "eval_set": rows,
        "train_set": {**rows, "path": "train.csv"},
        "forgetting_set": {"path": "other.csv", "input": "frage", "reference": "antwort"},
        "prices": {"machine_hour": 0.20},
        "candidates": [
            {"name": "base", **asks},
            {"name": "lora", **asks, "tune": TUNE},
            {"name": "random", **asks, "adapter": "random"},
            {"name": "apart", **asks, "adapter": "random", "prompt": {"user": "Say: {text}"}},
            {"name": "svm", "floor": "tfidf-svm"},
        ],
        "sweeps": [{"candidate": "svm", "over": "train.rows", "values": [4, 8, 10, 14], "seeds": [0, 1]}],
    }


def read_and_plan(keys: dict[str, Any], folder: Path) -> Plan:
    spec = parse(yaml.safe_dump(keys), "c.yaml")
    return make_plan(spec, read_sources(spec, folder))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("after")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTVP_HOME", str(folder / "home"))
        base = make_model(folder / "tiny")
        make_adapter(base, folder / "random", 7)
        draw = random.Random(1)
        rows = [f"item {n},{draw.choice(['blue', 'red', 'tall', 'cold'])}" for n in range(16)]
        more = [f"thing {n},{draw.choice(['blue', 'red', 'tall', 'cold'])}" for n in range(14)]
        (folder / "rows.csv").write_text("text,answer\n" + "\n".join(rows) + "\n")
        (folder / "train.csv").write_text("text,answer\n" + "\n".join(rows + more) + "\n")
        known = _base_answers(base, [f"frage {n}" for n in range(12)])
        quoted = [f'"{question}","{answer.replace(chr(34), chr(34) * 2)}"' for question, answer in known.items()]
        (folder / "other.csv").write_text("frage,antwort\n" + "\n".join(quoted) + "\n", encoding="utf-8")
        (folder / "c.yaml").write_text(yaml.safe_dump(keys_of(folder)))
        assert main(["run", str(folder / "c.yaml"), "--json", str(folder / "r.json")]) == 0
        yield Made(folder, json.loads((folder / "r.json").read_text()))


def _base_answers(base: Path, questions: list[str]) -> dict[str, str]:
    """What the base says: what it can forget."""
    from ftvp_core.models.local import open_model
    from ftvp_core.types import Example, Message, Request

    asked = [Request(Example(one, one, (), {}), (Message("user", one),), max_tokens=8) for one in questions]
    model = open_model(str(base), None, {})
    answers = [answer for at in range(0, len(asked), 4) for answer in model.answer_batch(asked[at : at + 4])]
    return {
        question: answer.output
        for question, answer in zip(questions, answers, strict=True)
        if not isinstance(answer, str) and answer.output.strip() and answer.output.isprintable()
    }


def tune_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in report["tunes"] if one["candidate"] == name)
    return found


def test_a_tuned_candidate_stands_beside_its_own_base(made: Made) -> None:
    lora, other = tune_of(made.report, "lora"), tune_of(made.report, "random")
    by_name = {one["name"]: one for one in made.report["candidates"]}
    assert (lora["base"], other["base"]) == ("base", "base")
    assert lora["before"]["value"] == by_name["base"]["accuracy"] == 0
    assert lora["after"]["value"] == by_name["lora"]["accuracy"] >= 0.9
    pair = next(one for one in made.report["pairs"] if {one["a"], one["b"]} == {"base", "lora"})
    assert lora["difference"] == -pair["difference"] and lora["interval"] == [
        -pair["interval"][1],
        -pair["interval"][0],
    ]
    assert (lora["verdict"], lora["advice"]) == ("better", "shown better than its base")
    assert other["advice"] == "no improvement: don't adopt"
    row = open_store().tunings(made.report["run_id"])[1]
    assert (lora["rows"], lora["seconds"], lora["adapter"]) == (30, row.seconds, Path(row.adapter).name)
    assert lora["device"] == "cpu"


def test_warnings_name_what_is_not_to_be_adopted_and_what_lacks_its_base(made: Made) -> None:
    warned = {one["id"]: one["message"] for one in made.report["decision"]["warnings"]}
    assert "no improvement: don't adopt" in warned["no-improvement"] and warned["no-improvement"].startswith("random")
    assert warned["no-base"].startswith("apart: its base isn't among the candidates")
    apart = tune_of(made.report, "apart")
    assert (apart["base"], apart["difference"], apart["advice"]) == (None, None, None)


def test_what_was_forgotten_is_asked_of_base_and_tuned_beside_the_comparison(made: Made) -> None:
    n = len((made.folder / "other.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert n >= 4
    lora, apart = tune_of(made.report, "lora"), tune_of(made.report, "apart")
    assert lora["forgetting_set"] == "other.csv" and lora["forgetting"]["n"] == n
    assert lora["forgetting"]["before"]["value"] == 1.0 > lora["forgetting"]["after"]["value"]
    assert lora["forgetting"]["difference"] == lora["forgetting"]["after"]["value"] - 1.0
    assert lora["forgetting"]["verdict"] == "worse"
    assert apart["forgetting"] is not None, "what is forgotten is known without a base in the file"
    assert any(
        one["id"] == "forgetting" and one["message"].startswith("lora forgets")
        for one in made.report["decision"]["warnings"]
    )
    assert [one["name"] for one in made.report["candidates"]] == ["base", "lora", "random", "apart", "svm"]
    assert all(one["n"] == 16 for one in made.report["candidates"])


def test_the_second_set_is_in_ledger_progress_and_stored_plan(made: Made) -> None:
    store, run_id = open_store(), made.report["run_id"]
    now = run_progress(store, run_id)
    sides = [arm for arm in now.arms if "forgetting" in arm.name]
    n = tune_of(made.report, "lora")["forgetting"]["n"]
    assert [arm.name for arm in sides] == [
        "lora [forgetting]", "random [forgetting]", "apart [forgetting]", "lora [forgetting, before]",
        "apart [forgetting, before]",
    ]  # fmt: skip
    assert all(arm.done == arm.total == arm.attempts == n for arm in sides)
    assert now.done == now.total == 16 * (5 + 8) + n * len(sides)
    assert len(store.tunings(run_id)) == 1, "it is trained once"
    plan = stored_plan(store, store.run(run_id))
    assert [arm.is_side for arm in plan.arms] == [False] * 13 + [True] * 5
    assert [arm.adapter_of for arm in plan.arms[13:]] == [1, 2, 3, None, None]


def test_a_prompt_that_names_a_column_of_the_eval_set_alone_is_refused_before_any_call(made: Made) -> None:
    keys = keys_of(made.folder)
    keys["eval_set"] = keys["train_set"] = {**keys["eval_set"], "path": "wide.csv"}
    keys |= {"sweeps": [], "candidates": keys["candidates"][:4]}
    (made.folder / "wide.csv").write_text(
        "text,answer,tone\n" + "\n".join(f"t{n},a{n % 2},x" for n in range(20)) + "\n"
    )
    for candidate in keys["candidates"]:
        candidate["prompt"] = {"user": "{text} {tone}"}
    with pytest.raises(
        UserError, match=r"other\.csv: has no column 'tone', which the prompt of lora .* write \{input\}"
    ):
        read_and_plan(keys, made.folder)


def test_the_second_set_is_held_to_each_candidate_s_own_schema(made: Made) -> None:
    keys = keys_of(made.folder) | {"sweeps": []}
    keys["candidates"][1]["output_schema"] = {"type": "object"}
    sides = [arm for arm in read_and_plan(keys, made.folder).arms if arm.is_side]
    held = {arm.candidate.name for arm in sides if arm.schema is not None}
    assert held == {"lora [forgetting]", "lora [forgetting, before]"}
    assert len(sides) == 6, "its base is another than that of random, which has no schema"


def test_a_floor_s_curve_has_both_seeds_and_says_when_points_are_too_few(made: Made) -> None:
    (curve,) = made.report["curves"]
    assert [len(point["by_seed"]) for point in curve["points"]] == [2, 2, 2, 2]
    assert all(point["accuracy"] == pytest.approx(sum(point["by_seed"]) / 2) for point in curve["points"])
    assert curve["fit"]["verdict"] in {"rises", "flattened", "not decided"} and len(curve["fit"]["band"]) > 10
    assert len({point["accuracy"] for point in curve["points"]}) > 1


def test_an_exported_adapter_answers_and_its_card_says_what_it_is(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, to = made.report["run_id"], made.folder / "out"
    assert main(["export", run_id, "--adapter", "lora", "--to", str(to)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(to / "lora")
    serve = "--enable-lora --max-lora-rank 16 --lora-modules lora=."
    assert f"vLLM: vllm serve {made.folder / 'tiny'} {serve}" in said.err, "on this machine the base is found"
    assert {path.name for path in (to / "lora").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "ftvp.json",
        "README.md",
    }
    config = json.loads((to / "lora" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "path/to/tiny", "on another one it may lie elsewhere"
    card = (to / "lora" / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == "path/to/tiny" and head["license"] is None
    store = open_store()
    report = load_report(store, run_id)
    for part in (
        report.eval_set.sha256,
        "30 rows of it",
        "learning_rate: 0.005",
        "shown better than its base",
        f"in place of `path/to/tiny`.\n\nvLLM; a request names the model `lora`:\n\n```\nvllm serve path/to/tiny {serve}\n```",
    ):
        assert part in card
    assert str(made.folder) not in card
    assert str(made.folder) not in (to / "lora" / "ftvp.json").read_text()
    keys = keys_of(made.folder) | {"sweeps": [], "forgetting_set": None}
    keys["candidates"] = [{**keys["candidates"][2], "adapter": "out/lora", "prompt": {"system": "S", "user": "{text}"}}]
    with pytest.raises(UserError, match=r"random\.adapter: was trained with no system prompt and would be asked with"):
        read_and_plan(keys, made.folder)
    with zipfile.ZipFile(BytesIO(adapter_zip(store, report, "lora"))) as packed:
        assert sorted(packed.namelist()) == [
            "lora/README.md",
            "lora/adapter_config.json",
            "lora/adapter_model.safetensors",
            "lora/ftvp.json",
        ]

    assert main(["export", run_id, "--adapter", "lora", "--to", str(to)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["export", run_id, "--adapter", "base", "--to", str(to)]) == 1
    assert "has no tuned candidate 'base'; expected one of: lora, random, apart" in capsys.readouterr().err
    assert main(["export", run_id, "--merged", "lora"]) == 1
    assert "--to is missing" in capsys.readouterr().err


def test_a_merged_model_s_logits_are_the_adapter_s(made: Made) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ftvp_core.models.local import known_warnings

    store, run_id = open_store(), made.report["run_id"]
    exports.ask(store, run_id, "random")
    exports.ask(store, run_id, "random")  # pressed twice
    assert export_next(store) and not export_next(store)
    row = exports.export_of(store, run_id, "random")
    assert row is not None and row.path is not None and row.error is None
    merged = Path(row.path)
    assert merged.parent == made.folder / "home" / "exports" / run_id / "2"
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in merged.iterdir()
    }
    ids = torch.arange(5, 45).reshape(2, 20)
    alone = AutoModelForCausalLM.from_pretrained(merged)
    base = AutoModelForCausalLM.from_pretrained(made.folder / "tiny")
    with torch.no_grad(), known_warnings():
        plain = base(ids).logits
        tuned = PeftModel.from_pretrained(base, str(made.folder / "random"))(ids).logits
        assert torch.allclose(alone(ids).logits, tuned, atol=1e-3)
        assert not torch.allclose(plain, tuned, atol=0.1)


def test_a_merge_that_fails_says_so_and_leaves_nothing(made: Made) -> None:
    store, run_id = open_store(), made.report["run_id"]
    weights = made.folder / "random" / "adapter_model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    try:
        exports.ask(store, run_id, "apart")
        assert export_next(store)
    finally:
        weights.write_bytes(kept)
    row = exports.export_of(store, run_id, "apart")
    assert row is not None and row.path is None and "has no adapter_model.safetensors" in (row.error or "")
    assert not list((made.folder / "home" / "exports" / run_id / "3").iterdir())
    exports.ask(store, run_id, "apart")
    assert exports.export_of(store, run_id, "apart") == exports.ExportRow(run_id, "apart", False, None, None)
    exports.withdraw(store, run_id, "apart")
    assert exports.export_of(store, run_id, "apart") is None


def test_a_disk_without_room_for_a_merged_model_is_one_line_and_nothing_is_left_of_it(made: Made) -> None:
    store = open_store()
    report, to = load_report(store, made.report["run_id"]), made.folder / "short"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"/short/lora: there is no room for the model; make room"):
            write_merged(store, report, "lora", to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(to.iterdir())


def test_compare_decide_and_the_link_show_it(made: Made) -> None:
    for page in ("pages/4_Compare.py", "pages/5_Decide.py"):
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        at.switch_page(page)
        at.query_params["run"] = made.report["run_id"]
        at.run()
        assert not at.exception
        table = next(one.value for one in at.dataframe if "kept after, %" in one.value.columns)
        assert list(table["candidate"]) == ["lora", "random", "apart"]
        assert table["finding"][1].endswith("no improvement: don't adopt")
        assert table["base"][2] == "not among the candidates"
        assert any("lora forgets: on other.csv" in text.value for text in at.text)


def test_a_merge_is_asked_for_on_compare(made: Made) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.switch_page("pages/4_Compare.py")
    at.query_params["run"] = made.report["run_id"]
    at.run()
    at.button(key=f"merge-{made.report['run_id']}").click().run()
    assert not at.exception
    store = open_store()
    assert any("It waits for a worker" in text.value for text in at.text)
    assert exports.export_of(store, made.report["run_id"], "lora") is not None
    at.button(key=f"merge-cancel-{made.report['run_id']}").click().run()
    assert exports.export_of(store, made.report["run_id"], "lora") is None


def test_a_changed_second_set_is_no_resume(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    other = made.folder / "other.csv"
    kept = other.read_bytes()
    other.write_bytes(kept + b"new,one\n")
    try:
        assert main(["run", str(made.folder / "c.yaml"), "--resume", made.report["run_id"]]) == 1
    finally:
        other.write_bytes(kept)
    assert "the data of forgetting_set has changed" in capsys.readouterr().err


def test_the_file_says_itself_what_a_sweep_repeats(made: Made) -> None:
    spec = load(made.folder / "c.yaml")
    names = [arm.name for arm in spec.arms()][5:8]
    assert names == ["svm [train.rows=4, seed=0]", "svm [train.rows=4, seed=1]", "svm [train.rows=8, seed=0]"]
    keys = keys_of(made.folder)
    keys["sweeps"] = [{"candidate": "base", "over": "retrieval.top_k", "values": [1], "seeds": [0]}]
    with pytest.raises(UserError, match=r"sweeps\[0\]\.over: retrieval\.top_k = 1 with a seed of 0 beside it"):
        parse(yaml.safe_dump(keys), "c.yaml")
    keys["candidates"][0]["train"] = {"rows": 5}
    with pytest.raises(UserError, match="train chooses a floor's rows; a tuned candidate has"):
        parse(yaml.safe_dump({**keys, "sweeps": []}), "c.yaml")


def test_write_merged_is_whole_or_not_there(made: Made) -> None:
    store = open_store()
    report = load_report(store, made.report["run_id"])
    to = write_merged(store, report, "lora", made.folder / "whole")
    assert (to / "README.md").read_text(encoding="utf-8").count("transformers serve .") == 1
    assert not list((made.folder / "whole").glob(".*"))


def test_what_a_kill_left_undone_of_the_second_set_is_asked_again_alone(made: Made) -> None:
    store, run_id = open_store(), made.report["run_id"]
    with store.writing() as connection:
        connection.execute(
            results.delete().where(results.c.run_id == run_id, results.c.arm >= 13, results.c.example > 1)
        )
        connection.execute(update(runs).where(runs.c.id == run_id).values(state="partial"))
    before = tune_of(json.loads(to_json(load_report(store, run_id))), "lora")
    assert before["forgetting"]["n"] == 2 and before["difference"] == tune_of(made.report, "lora")["difference"]
    assert main(["run", "--resume", run_id]) == 0
    assert json.loads(to_json(load_report(store, run_id)))["tunes"] == made.report["tunes"]


def test_the_command_line_says_what_changed(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--resume", made.report["run_id"]]) == 0
    said = capsys.readouterr().out
    assert "lora: on 16 rows of the eval set, 0 % (0–19) before (base) → " in said
    assert "random: " in said and "no improvement: don't adopt" in said
    assert "lora kept: on " in said


def test_a_shared_link_keeps_tunes_and_curves(made: Made) -> None:
    store = open_store()
    report = load_report(store, made.report["run_id"])
    shared = open_shared(store, share(store, report))
    assert shared.comparison.tunes == report.comparison.tunes
    assert shared.comparison.curves == report.comparison.curves
