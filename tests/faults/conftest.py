"""The real command line in processes of its own, on comparisons whose truth the fault server knows."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, is_right

PRICE = {"input": 0.15, "output": 0.60}
ROOT = Path(__file__).parents[2]


class Project:
    """A folder with an eval set, a comparison file and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "FTVP_HOME": str(folder / "home")}
        self.environment.pop("FTVP_DATABASE_URL", None)

    def write(self, served: Served, n: int = 60, models: Mapping[str, Any] | None = None, **run: Any) -> Path:
        """A comparison of `n` rows and these models (name to price); returns its file."""
        rows = [{"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": "yes"} for at in range(n)]
        (self.folder / "eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
        models = models or {"m": PRICE}
        keys = {
            "name": "faults",
            "eval_set": {"path": "eval.jsonl"},
            "providers": {"sim": {"base_url": served.url}},
            "prices": {f"sim/{name}": price for name, price in models.items() if price},
            "candidates": [{"name": name, "model": f"sim/{name}", "prompt": {"user": "{question}"}} for name in models],
            "run": {"concurrency": 8, **({"max_cost_usd": 5} if all(models.values()) else {}), **run},
        }
        self.file = self.folder / "comparison.yaml"
        self.file.write_text(json.dumps(keys))
        return self.file

    def edit(self, **keys: Any) -> None:
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **keys}))

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "ftvp_core", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """`run FILE …`: exit status, report, standard error."""
        done = self.call("run", str(self.file), "--json", str(self.folder / "report.json"), *arguments)
        report = self.folder / "report.json"
        return done.returncode, json.loads(report.read_text()) if report.exists() else {}, done.stderr

    def finished(self) -> set[tuple[int, int]]:
        """(candidate, example) of every result that the store holds, of all runs."""
        with closing(sqlite3.connect(self.folder / "home" / "ftvp.db")) as connection:
            return set(connection.execute("SELECT arm, example FROM results"))

    def lag_s(self) -> float | None:
        """How late the only run's event loop was, as far as the store knows."""
        with closing(sqlite3.connect(self.folder / "home" / "ftvp.db")) as connection:
            ((lag_s,),) = connection.execute("SELECT lag_s FROM runs")
        return None if lag_s is None else float(lag_s)

    def limit_usd(self) -> float:
        """Of the only run."""
        with closing(sqlite3.connect(self.folder / "home" / "ftvp.db")) as connection:
            ((pico,),) = connection.execute("SELECT limit_usd FROM runs")
        return float(pico) / 1e12

    def newest(self) -> tuple[str, str]:
        """Id and state of the newest run."""
        id_, state, _ = self.call("runs").stdout.splitlines()[0].split(" ", 2)
        return id_, state


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def truth(model: str, n: int = 60) -> float:
    return sum(is_right(model, at) for at in range(n)) / n


def billed_usd(served: Served, prices: Mapping[str, Mapping[str, float]]) -> float:
    """What the server would bill: every answer that it computed."""
    return sum(
        count * (TOKENS_IN * prices[model]["input"] + TOKENS_OUT * prices[model]["output"]) / 1e6
        for model, count in served.billed.items()
    )
