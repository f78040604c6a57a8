"""The shipped comparison, run for real with no key and no network: what it teaches is significant."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Report = Mapping[str, Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("demo")
    # No proxy leads anywhere: what would ask the network fails at once.
    environment = os.environ | {
        "FTVP_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "ftvp_core", "demo", "--json", str(folder / "demo.json")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Report = json.loads((folder / "demo.json").read_text())
    return found


def difference(report: Report, tag: str, better: str, worse: str) -> Mapping[str, Any]:
    """The pair of a slice, whichever way round it stands."""
    pairs = next(one["pairs"] for one in report["slices"] if one["tag"] == tag)
    return next(pair for pair in pairs if {pair["a"], pair["b"]} == {better, worse})


pytestmark = pytest.mark.timeout(600)


def test_all_six_candidates_answered_all_rows(report: Report) -> None:
    assert report["state"] == "done"
    assert [(one["n"], one["n_scored"]) for one in report["candidates"]] == [(200, 200)] * 6
    assert all(one["cost_per_1k_usd"] is not None for one in report["candidates"])


@pytest.mark.parametrize(
    ("tag", "better", "worse"),
    [
        ("new fact", "RAG", "prompt"),
        ("labels", "LoRA", "prompt"),
        ("form", "LoRA + RAG", "RAG"),
        ("form", "LoRA + RAG", "LoRA"),
    ],
)
def test_the_thesis_is_significant(report: Report, tag: str, better: str, worse: str) -> None:
    pair = difference(report, tag, better, worse)
    assert pair["verdict"] == ("better" if pair["a"] == better else "worse"), pair
    assert pair["p_adjusted"] < 0.05
