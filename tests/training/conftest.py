"""A small model, and rows that can only be learned by heart."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import load
from ftvp_core.types import Example, Given
from tests.tiny_model import make_model

WORDS = ["blue", "red", "tall", "slow", "cold", "wide", "dark", "soft"]
TUNE: dict[str, Any] = {
    "learning_rate": 5e-3,
    "warmup": 0,
    "dropout": 0,
    "epochs": 30,
    "max_length": 64,
    "keep_leaked": True,
}
PROMPT = {"system": "Answer.", "user": "{text}"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, and 20 rows whose answers can only be learned by heart."""
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
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

    def waits(self, waits: bool) -> None:
        pass

    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.steps) >= self.cancel_after

    def paused(self) -> bool:
        return False
