"""Tests side by side: files that take longest begin first, and a worker's arithmetic keeps to one core."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from ftvp_core.training.process import TrainingProcess

HERE = Path(__file__).parent
#: Files of a minute and more. Begun last, one would be waited for by workers that have nothing else left.
LONGEST = (
    "demo/test_live.py",
    "demo/test_world.py",
    "jobs/test_distillation.py",
    "faults/test_batches.py",
    "training/test_resume.py",
    "browser/test_journey.py",
    "faults/test_accounting.py",
    "browser/test_compare.py",
    "training/test_tuned.py",
    "training/test_methods.py",
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist: another worker is beside this one
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {HERE / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session")
def process() -> Iterator[TrainingProcess]:
    """Trains what tests ask for, one after another: starting it takes longer than what it is asked to do here."""
    with TrainingProcess() as one:
        yield one


@pytest.fixture
def trains_in_turn(process: TrainingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and dry runs of this process train in that one, and leave it to the next test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for module in ("ftvp_core.jobs.execute", "ftvp_core.training.tuned"):
        monkeypatch.setattr(f"{module}.TrainingProcess", lambda: nullcontext(process))
