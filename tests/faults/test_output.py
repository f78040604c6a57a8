"""Where the report can't be written or nobody reads it: the run is kept, and the exit status is still the run's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftvp_core.report.write import save
from tests.fault_server import fault_server
from tests.faults.conftest import ROOT, Project

COMMAND = f"{sys.executable} -m ftvp_core run"


def shell(project: Project, line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no full device")
def test_a_report_that_finds_no_room_is_said_in_one_line_and_can_be_written_again(project: Project) -> None:
    with fault_server() as served:
        file = project.write(served, n=3)
        said = shell(project, f"{COMMAND} {file} > /dev/full").stderr.splitlines()[-1]
        device = shell(project, f"{COMMAND} {file} --json /dev/full")
    assert "its report isn't written" in said and "export" in said
    assert (device.returncode, "No space left" in device.stderr, "Traceback" in device.stderr) == (2, True, False)
    assert Path("/dev/full").is_char_device()  # it was written to, not replaced
    run_id, state = project.newest()
    again = project.folder / "again.json"
    assert (state, project.call("export", run_id, "--json", str(again)).returncode) == ("done", 0)
    assert again.exists()


def test_a_run_that_ended_early_says_so_though_nobody_reads_its_table(project: Project) -> None:
    with fault_server(f401=1.0) as served:
        file = project.write(served, n=3)
        done = shell(project, f"set -o pipefail; {COMMAND} {file} | true")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "stopped after HTTP 401" in done.stderr


def test_a_report_goes_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    save(pipe, "{}\n")
    assert reader.communicate(timeout=30)[0] == "{}\n"
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
