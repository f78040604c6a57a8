"""A server of the wire format that nobody here wrote: nonsense answers, real usage, real latency."""

import csv
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from ftvp_core.__main__ import main
from ftvp_core.jobs.export import served_here
from ftvp_core.models.local import DEMO
from ftvp_core.report.load import load_report
from ftvp_core.store.opening import open_store
from tests.tiny_model import make_adapter, make_model

STARTS_WITHIN_S = 120
QUESTIONS = ["one", "two", "three", "four", "five", "six"]


@contextmanager
def serving(folder: Path, command: Sequence[str]) -> Iterator[str]:
    """The address of a server that was started in `folder` by a `transformers serve …`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    installed = [
        str(Path(sys.executable).with_name(command[0])),
        *command[1:],
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(installed, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(port, server, folder / "log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The server's address and the model's name."""
    folder = tmp_path_factory.mktemp("served")
    model = str(make_model(folder / "tiny"))
    with serving(folder, ["transformers", "serve"]) as base_url:
        yield base_url, model


def test_a_real_server_is_measured_as_it_is(
    served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base_url, model = served
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    rows = [{"question": f"Say {word}.", "answer": f"certainly not {word}"} for word in QUESTIONS]
    (tmp_path / "eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "c.yaml").write_text(f"""
eval_set: {{path: eval.jsonl}}
providers: {{served: {{base_url: "{base_url}"}}}}
candidates:
  - {{name: whole, model: "served/{model}", sampling: {{max_tokens: 8}}}}
  - {{name: streamed, model: "served/{model}", sampling: {{max_tokens: 8, stream: true}}}}
  - {{name: json, model: "served/{model}", sampling: {{max_tokens: 8}}, output_schema: {{type: object}}}}
run: {{concurrency: 2, timeout_s: 100}}
""")
    assert main(["run", str(tmp_path / "c.yaml"), "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["state"] == "done"
    *plain, structured = report["candidates"]
    # It takes a schema without effect: that is seen at the first row, and then every answer is sent back once.
    assert (structured["n_scored"], structured["attempts"]) == (6, 1 + 2 * 6)
    assert structured["valid_output"]["modes"] == {"repaired": 6}
    assert structured["valid_output"]["value"] == 0.0
    for candidate in plain:
        assert (candidate["n_scored"], candidate["attempts"], candidate["accuracy"]) == (6, 6, 0.0)
        assert candidate["interval"] == [0.0, pytest.approx(0.3903, abs=1e-4)]  # Wilson, 0 of 6
        assert candidate["tokens"]["input"] > 6 and candidate["tokens"]["output"] > 0
        assert candidate["latency_s"]["p50"] > 0 and candidate["cost_usd"] is None
    assert report["candidates"][1]["ttft_s"]["p50"] <= report["candidates"][1]["latency_s"]["p50"]


def test_an_exported_models_card_says_what_serves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with an adapter on it, merged: the server of the card's command answers as the run did."""
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    make_adapter(DEMO, tmp_path / "random", 7)
    (tmp_path / "eval.csv").write_text("question,answer\n" + "".join(f"Say {word}.,{word}\n" for word in QUESTIONS))
    here = answers(tmp_path, "model: local/demo, adapter: random")
    store = open_store()
    run_id = store.runs()[0].id
    assert main(["export", run_id, "--merged", "here", "--to", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "here" / "README.md").read_text(encoding="utf-8")
    told = re.search(r"transformers; a request names the model `(.+)`:\n\n```\n(.+)\n```", card)
    assert told is not None
    with serving(tmp_path / "out" / "here", told[2].split()) as base_url:
        there = answers(tmp_path, f"model: served/{told[1]}", f'providers: {{served: {{base_url: "{base_url}"}}}}')
    assert there == here and len(set(here)) > 1
    said = served_here(load_report(store, run_id), "here", merged=False)["vLLM"].command
    assert said.startswith(f"vllm serve {DEMO} --enable-lora") and (DEMO / "config.json").is_file()


def answers(folder: Path, asked: str, more: str = "") -> list[str]:
    """What a candidate answers to the eval set."""
    (folder / "c.yaml").write_text(f"""
eval_set: {{path: eval.csv}}
{more}
candidates:
  - {{name: here, {asked}, prompt: {{user: "{{question}}"}}, sampling: {{max_tokens: 8}}}}
run: {{timeout_s: 100}}
""")
    assert main(["run", str(folder / "c.yaml"), "--csv", str(folder / "rows.csv")]) == 0
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [row["output"] for row in csv.DictReader(file)]


def _wait(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"transformers serve didn't start: {log.read_text()[-2000:]}")
