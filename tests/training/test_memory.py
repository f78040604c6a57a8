"""Memory that runs out for real: one line that says what to lower, and nothing else is harmed."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftvp_core.errors import RunStopped
from ftvp_core.training import process as processes
from ftvp_core.training.process import TrainingProcess
from ftvp_core.training.tuned import make_adapter
from tests.training.conftest import Watch, nothing_looked_up, plan_of, write

#: The child's program; what it does before its first step stands for {}.
SHORT_OF_MEMORY = """
import os, resource
from pathlib import Path
import ftvp_core.training.estimate as estimate
run = estimate.run
def short(*asked):
    {}
    run(*asked)
estimate.run = short
import ftvp_core.training.child as child
child.main()
"""
#: It can be given this much more: less than a step of 256 rows takes.
ROOM = 200_000_000
ADDRESSES = (
    "said = Path('/proc/self/status').read_text().partition('VmSize:')[2].split()[0];"
    f"resource.setrlimit(resource.RLIMIT_AS, (1024 * int(said) + {ROOM}, resource.RLIM_INFINITY))"
)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A group of processes that the kernel kills beyond ROOM."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.exists() else Path("/sys/fs/cgroup")) / f"training-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old.exists() else "memory.max")).write_text(str(ROOM))
    except OSError as error:
        pytest.skip(f"no group of limited memory can be made here ({error})")
    yield group
    group.rmdir()


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, before_a_step: str) -> str:
    """Why the training of such a child was stopped."""
    plan = plan_of(write(folder, {"name": "lora", "tune": {"batch_size": 256}}))
    monkeypatch.setattr(processes, "CHILD", [sys.executable, "-P", "-c", SHORT_OF_MEMORY.format(before_a_step)])
    with TrainingProcess() as one, pytest.raises(RunStopped) as stopped:
        make_adapter(plan, 0, nothing_looked_up, folder, lambda _: None, Watch(), one)
    assert one._child is None, "what held the memory has ended"
    assert not any((folder / "home" / "adapters").glob("[!.]*"))
    return str(stopped.value)


def test_a_step_that_is_refused_its_memory_says_what_to_lower(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = trained(folder, monkeypatch, ADDRESSES)
    assert said.startswith("candidate lora: training doesn't fit in this machine's memory; lower tune.batch_size (256)")


def test_a_child_that_the_kernel_kills_says_the_same_and_the_dashboard_lives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cgroup: Path
) -> None:
    said = trained(folder, monkeypatch, f"Path('{cgroup}/cgroup.procs').write_text(str(os.getpid()))")
    assert said.startswith("candidate lora: training was killed, as the system does when memory runs out; lower tune.b")
