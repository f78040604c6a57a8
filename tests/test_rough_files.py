"""Files that are wrong in ways nobody plans for: one line each, before anything is sent; never a traceback or a hang."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.data.examples import to_examples
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.grading import build
from ftvp_core.models.recorded import read_recorded
from ftvp_core.runs.providers import api_key
from ftvp_core.spec import EvalSetSpec, ProviderSpec, parse
from ftvp_core.store.opening import open_store
from ftvp_core.types import Example, ExampleSet

SMALL: dict[str, Any] = {"eval_set": {"path": "e.csv"}, "candidates": [{"name": "a", "model": "openai/m"}]}
REST = "\neval_set: {path: e.csv}\ncandidates: [{name: a, model: openai/m}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("? [a, b]\n: c\n", "unhashable"),
        ("name: 2024-13-45" + REST, "month"),
        ("run: {seed: " + "9" * 5000 + "}" + REST, "digits"),
        ("a: " + "[" * 5000, "recursion"),
        ("[" * 100_000, "recursion"),
        ("{" + '"a": {' * 100_000, "recursion"),
        ('{"name": "a", "name": "b"}', "twice"),
        ("1: x" + REST, "keys should be strings"),
        ("run: {max_cost_usd: 1.0e+9}" + REST, "run.max_cost_usd"),
        ("prices: {openai/m: {input: 1.0e+30, output: 1}}" + REST, "prices.openai/m.input"),
        ("run: {seed: -1}" + REST, "run.seed"),
        ('name: "half \\ud83d"' + REST, "name"),
    ],
)
def test_a_file_that_no_reader_expects_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(text, "c.yaml")
    line = str(raised.value)
    assert line.startswith("c.yaml") and said in line and "\n" not in line and len(line) < 400


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_whoever_wrote_it(indent: Any) -> None:
    """json.dumps escapes an emoji as two halves, and may indent by tabs: YAML's own reader takes neither."""
    text = json.dumps({"name": "카드 🙂", **SMALL}, indent=indent)
    assert parse(text, "c.json").name == "카드 🙂"
    assert parse("{name: flow, eval_set: {path: e.csv}, candidates: [{name: a, model: openai/m}]}", "c").name == "flow"


def examples(folder: Path, content: str, name: str = "e.jsonl", **keys: Any) -> ExampleSet:
    (folder / name).write_text(content)
    return to_examples(read_table(folder / name), EvalSetSpec(path=name, **keys))


def test_a_cell_without_a_group_is_a_row_of_its_own(tmp_path: Path) -> None:
    found = examples(tmp_path, "text,label,page\na,x,p\nb,x,\nc,x,\n", "e.csv", group="page").examples
    assert [one.group for one in found] == ["p", None, None]


def test_many_equal_rows_are_numbered_at_once_and_never_collide(tmp_path: Path) -> None:
    ids = [one.id for one in examples(tmp_path, "text,label\n" + "x,y\n" * 20_000, "e.csv").examples]
    assert len(set(ids)) == 20_000 and ids[-1] == f"{ids[0]}-20000"
    rows = "".join(f"{key},t,x\n" for key in ("k", "k-2", "k", "k", "k-2"))
    found = examples(tmp_path, f"key,text,label\n{rows}", "e.csv", id="key").examples
    assert [one.id for one in found] == ["k", "k-2", "k-3", "k-4", "k-2-2"]


def test_a_path_with_a_null_character_and_brackets_without_end_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        read_table(tmp_path / "a\0b.csv")
    with pytest.raises(UserError, match="brackets"):
        examples(tmp_path, "[" * 100_000)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"output": "no id"}, "id ''"),
        ({"id": "r2", "output": "half \ud83d"}, "half a character"),
        ({"id": "r2", "output": "x", "input_tokens": 10**30}, "input_tokens"),
        ({"id": "r2", "output": "x", "cost_usd": 1e30}, "cost_usd"),
        ({"id": "r2", "output": "x", "latency_s": "1e400"}, "latency_s"),
        ({"id": "r2", "output": "x", "latency_s": "NaN"}, "latency_s"),
        ({"id": "r2", "output": "x", "output_tokens": -1}, "output_tokens"),
    ],
)
def test_a_recorded_row_that_cannot_be_kept_is_one_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    eval_set = examples(tmp_path, '{"id": "r1", "text": "a"}\n{"id": "r2", "text": "b"}')
    (tmp_path / "old.jsonl").write_text("\n".join(map(json.dumps, ({"id": "r1", "output": "x"}, row))))
    with pytest.raises(UserError) as raised:
        read_recorded(read_table(tmp_path / "old.jsonl"), eval_set)
    assert said in str(raised.value) and "row 2" in str(raised.value) and "\n" not in str(raised.value)


def test_a_recorded_row_without_an_output_is_missing(tmp_path: Path) -> None:
    eval_set = examples(tmp_path, '{"id": "r1", "text": "a"}\n{"id": "r2", "text": "b"}')
    (tmp_path / "old.jsonl").write_text('{"id": "r1", "output": "x"}\n{"id": "r2"}')
    recorded = read_recorded(read_table(tmp_path / "old.jsonl"), eval_set)
    assert set(recorded._answers) == {"r1"}


@pytest.mark.parametrize("output", ["1e9999999", "-9e999999999", "0e99999999999"])
def test_a_number_beyond_all_bounds_is_wrong_and_stops_nothing(output: str) -> None:
    example = Example("1", "?", ("5",), {})
    assert build([{"numeric": {"tolerance": 0.1}}], ()).grade(output, example).value == 0
    beyond = Example("1", "?", (output,), {})
    assert build(["numeric"], ()).grade("5", beyond).value is None


@pytest.mark.parametrize("tolerance", [float("nan"), -1])
def test_a_tolerance_that_nothing_meets_is_refused(tolerance: float) -> None:
    with pytest.raises(UserError, match=r"graders\[0\].tolerance"):
        build([{"numeric": {"tolerance": tolerance}}], ())


def test_a_key_loses_its_line_end_and_may_hold_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = ProviderSpec(base_url="http://localhost/v1", api_key_env="A_KEY")
    monkeypatch.setenv("A_KEY", "secret\n")
    assert api_key(provider, "candidate a") == "secret"
    monkeypatch.setenv("A_KEY", "sec\r\nret")
    with pytest.raises(UserError, match="control character") as raised:
        api_key(provider, "candidate a")
    assert "sec" not in str(raised.value).replace("A_KEY", "")


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://host/name"])
def test_an_address_that_is_no_database_is_one_line(url: str) -> None:
    with pytest.raises(UserError, match="FTVP_DATABASE_URL") as raised:
        open_store(url)
    assert "\n" not in str(raised.value)


def test_a_terminal_without_dashes_and_arrows_still_gets_its_table(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("id,text,label\nr1,a,x\n")
    (tmp_path / "old.csv").write_text("id,output\nr1,x\n")
    (tmp_path / "c.yaml").write_text("eval_set: {path: e.csv}\ncandidates: [{name: old, recorded: old.csv}]\n")
    environment = {"PATH": "", "FTVP_HOME": str(tmp_path / "home"), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "ftvp_core", "run", str(tmp_path / "c.yaml")]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "100 %" in done.stdout, done.stderr
