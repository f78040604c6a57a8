"""Real kills: a checkpoint is complete or absent, what goes on ends as if nothing had happened, and one line says it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ftvp_core.errors import RunStopped
from ftvp_core.marker import MARKER, is_whole
from ftvp_core.training import process as processes
from ftvp_core.training.process import TrainingProcess
from ftvp_core.training.tuned import Tuning, make_adapter
from tests.training.conftest import Watch, nothing_looked_up, plan_of, write

#: Dropout, a schedule with a warm-up, held-out rows: all that a resumed training must find again. 20 steps.
TUNE = {"dropout": 0.1, "warmup": 0.2, "epochs": 5, "validation": 0.25, "patience": 100, "save_steps": 3}
SAVE_STEPS = 3

#: Programs for the child's process. It prints 100 MB before it begins, and is killed where a name says.
PRINTS = "import os, sys; [sys.stdout.write('x' * 1_000_000) for _ in range(100)];"
KILL = "os.kill(os.getpid(), 9)"
IN_A_SAVE = (
    PRINTS
    + "import ftvp_core.training.checkpoints as at; save, saved = at.save_state, []\n"
    + "def half(to, *rest):\n    saved.append(to)\n"
    + f"    if len(saved) > 1: (to / at.TENSORS).write_bytes(b'half'); {KILL}\n"
    + "    return save(to, *rest)\n"
    + "at.save_state = half\n"
    + "from ftvp_core.training.child import main; main()"
)
#: Its second checkpoint meets a disk without room.
FULL_DISK = (
    "import resource, ftvp_core.training.checkpoints as at; save, saved = at.save_state, []\n"
    "def short(to, *rest):\n    saved.append(to)\n"
    "    if len(saved) > 1: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
    "    return save(to, *rest)\n"
    "at.save_state = short\n"
    "from ftvp_core.training.child import main; main()"
)
BEFORE_THE_MARKER = f"import os, ftvp_core.training.child as child\nchild.version = lambda _: {KILL}\nchild.main()"


class Killing(Watch):
    """Kills the child after a step, as the kernel does when memory runs out."""

    def __init__(self, one: TrainingProcess, after: int) -> None:
        super().__init__()
        self._one = one
        self._after = after

    def progress(self, done: int, total: int) -> None:
        super().progress(done, total)
        if done == self._after and self._one._child is not None:
            self._one._child.send_signal(signal.SIGKILL)


@pytest.fixture
def train(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, Tuning]]:
    plan = plan_of(write(folder, {"name": "lora", "tune": TUNE}))

    def train(home: str, one: TrainingProcess, watch: Watch) -> tuple[Path, Tuning]:
        monkeypatch.setenv("FTVP_HOME", str(folder / home))
        told: list[Tuning] = []
        return make_adapter(plan, 0, nothing_looked_up, folder, told.append, watch, one), told[-1]

    return train


def test_a_training_that_is_killed_wherever_it_is_ends_as_if_it_had_not_been(
    folder: Path, train: Callable[..., tuple[Path, Tuning]], monkeypatch: pytest.MonkeyPatch, process: TrainingProcess
) -> None:
    whole, told = train("whole", process, Watch())
    assert [step for step, _ in told.log] == list(range(1, 21))

    killed = r"training was killed, as the system does when memory runs out; lower tune\.batch_size \(4\)"
    with TrainingProcess() as one, pytest.raises(RunStopped, match=rf"^candidate lora: {killed}"):
        train("killed", one, Killing(one, 5))

    second = Watch()
    monkeypatch.setattr(processes, "CHILD", [sys.executable, "-P", "-c", IN_A_SAVE])
    with TrainingProcess() as one, pytest.raises(RunStopped, match=killed):
        train("killed", one, second)
    assert second.steps[0] == 1 + SAVE_STEPS
    [partial] = (folder / "killed" / "adapters").glob(".*.partial")
    assert {path.name: (path / MARKER).exists() for path in partial.glob("checkpoint-*")} == {
        "checkpoint-6": True, "checkpoint-9": False,
    }  # fmt: skip

    third = Watch()
    monkeypatch.setattr(processes, "CHILD", [sys.executable, "-P", "-c", BEFORE_THE_MARKER])
    with TrainingProcess() as one, pytest.raises(RunStopped, match=killed):
        train("killed", one, third)
    assert third.steps[0] == 1 + 2 * SAVE_STEPS
    assert (partial / "tuned" / "adapter_model.safetensors").exists()
    assert not any((folder / "killed" / "adapters").glob("[!.]*"))

    resumed, again = train("killed", process, Watch())
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (resumed / file).read_bytes() == (whole / file).read_bytes()
    assert (again.log, again.validation, again.best_step) == (told.log, told.validation, told.best_step)
    assert not partial.exists()
    assert not [path for path in resumed.iterdir() if path.suffix in {".pt", ".pth", ".bin", ".pkl"}]


def test_a_full_disk_costs_no_checkpoint_and_one_that_was_cut_is_as_absent(
    folder: Path, train: Callable[..., tuple[Path, Tuning]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, TrainingProcess() as one:
        patch.setattr(processes, "CHILD", [sys.executable, "-P", "-c", FULL_DISK])
        said = r"^candidate lora: there is no room on the disk under /\S+/adapters; make room and go on with the run"
        with pytest.raises(RunStopped, match=said):
            train("home", one, Watch())
    [partial] = (folder / "home" / "adapters").glob(".*.partial")
    assert is_whole(partial / "checkpoint-3") and not is_whole(partial / "checkpoint-6")

    resumed = Watch(cancel_after=1)
    with TrainingProcess() as one, pytest.raises(RunStopped, match="cancelled"):
        train("home", one, resumed)
    assert resumed.steps[0] == 1 + SAVE_STEPS
    assert not (partial / "checkpoint-6").exists()

    weights = partial / "checkpoint-3" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    anew = Watch(cancel_after=1)
    with TrainingProcess() as one, pytest.raises(RunStopped, match="cancelled"):
        train("home", one, anew)
    assert anew.steps[0] == 1


def test_a_cancel_stops_at_once_and_keeps_the_last_checkpoint(
    folder: Path, train: Callable[..., tuple[Path, Tuning]]
) -> None:
    watch = Watch(cancel_after=4)
    with TrainingProcess() as one, pytest.raises(RunStopped, match=r"^cancelled$"):
        train("home", one, watch)
    assert watch.steps[-1] <= 5
    [partial] = (folder / "home" / "adapters").glob(".*.partial")
    assert (partial / "checkpoint-3" / MARKER).exists()
    assert not any((folder / "home" / "adapters").glob("[!.]*"))


class Pausing(Watch):
    """Pauses after three steps, for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[int] = []

    def paused(self) -> bool:
        if len(self.steps) < 3 or len(self.at) >= 12:
            return False
        self.at.append(len(self.steps))
        return True


def test_a_paused_training_waits_between_two_steps_and_goes_on(
    train: Callable[..., tuple[Path, Tuning]], process: TrainingProcess
) -> None:
    watch = Pausing()
    _, told = train("paused", process, watch)
    assert watch.at[4] == watch.at[-1] < 20  # what was under way has come by then, and nothing more comes
    assert [step for step, _ in told.log] == list(range(1, 21))


def test_the_trainer_ends_with_the_process_that_asked_for_it(folder: Path) -> None:
    file = write(folder, {"name": "lora", "tune": {"epochs": 10_000, "save_steps": 2}})
    command = [sys.executable, "-m", "ftvp_core", "train", str(file), "--candidate", "lora"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ) as parent:
        adapters = folder / "home" / "adapters"
        assert comes_about(lambda: any(adapters.glob(f".*.partial/checkpoint-*/{MARKER}"))), "it never trained"
        [child] = psutil.Process(parent.pid).children()
        parent.kill()
    assert comes_about(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE), "it trains on"


def comes_about(condition: Callable[[], bool], within_s: float = 150) -> bool:
    limit = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
