"""What a resume that is refused leaves behind: nothing."""

from tests.fault_server import fault_server
from tests.faults.conftest import Project


def test_a_limit_that_does_not_fit_the_run_is_not_kept(project: Project) -> None:
    with fault_server(f401=1.0) as served:
        project.write(served, models={"m": None})
        assert project.run()[0] == 2
        run_id = project.newest()[0]
        served.faults.shares = {}
        refused = project.call("run", "--resume", run_id, "--max-cost", "5")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1) and "no price" in refused.stderr
        assert project.call("run", "--resume", run_id).returncode == 0
