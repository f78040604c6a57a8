"""What a resume that is refused leaves behind: nothing."""

from tests.fault_server import fault_server
from tests.faults.conftest import PRICE, Project
from tests.faults.test_kill import until_served


def test_a_limit_that_does_not_fit_the_run_is_not_kept(project: Project) -> None:
    with fault_server(f401=1.0) as served:
        project.write(served, models={"m": None})
        assert project.run()[0] == 2
        run_id = project.newest()[0]
        served.faults.shares = {}
        refused = project.call("run", "--resume", run_id, "--max-cost", "5")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1) and "no price" in refused.stderr
        assert project.call("run", "--resume", run_id).returncode == 0


def test_a_limit_is_not_changed_by_who_may_not_go_on(project: Project) -> None:
    with fault_server(latency_s=0.2) as served:
        working = project.start("run", str(project.write(served, n=2000, models={"m": PRICE}, concurrency=1)))
        until_served(served, 1)
        run_id = project.newest()[0]
        refused = project.call("run", "--resume", run_id, "--max-cost", "50")
        assert (refused.returncode, "worked on by process" in refused.stderr) == (1, True)
        working.kill()
        working.communicate()
    assert project.limit_usd() == 5
