"""A cost limit holds, and what is wrong with money or keys is said before any call."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.fault_server import TOKENS_IN, fault_server
from tests.faults.conftest import PRICE, Project, billed_usd, truth

DEAR, CHEAP = {"input": 30.0, "output": 120.0}, {"input": 0.5, "output": 1.5}


def test_no_more_is_billed_than_the_limit_and_a_higher_one_finishes(project: Project) -> None:
    prices = {"dear": DEAR, "cheap": CHEAP}
    with fault_server(drop=0.1, latency_s=0.02) as served:
        project.write(served, n=100, models=prices, concurrency=32, max_cost_usd=0.20)
        most = {"dear": 64, "cheap": 4096}
        project.edit(
            candidates=[
                {"name": name, "model": f"sim/{name}", "prompt": {"user": "{question}"}, "sampling": {"max_tokens": n}}
                for name, n in most.items()
            ]
        )
        status, report, error = project.run()
        assert (status, report["state"]) == (2, "partial")
        assert "limit" in error
        assert 0 < billed_usd(served, prices) <= 0.20
        assert sum(one["cost_usd"] for one in report["candidates"]) <= 0.20
        assert all(one["n"] == one["n_scored"] + one["n_failed"] == 100 for one in report["candidates"])
        status, report, _ = project.run("--resume", project.newest()[0], "--max-cost", "20")
    assert (status, report["state"]) == (0, "done")
    assert [one["accuracy"] for one in report["candidates"]] == [truth("dear", 100), truth("cheap", 100)]
    assert sum(one["attempts"] for one in report["candidates"]) == served.requests


def test_a_server_that_bills_more_than_it_was_asked_for_is_reserved_as_much(project: Project) -> None:
    with fault_server(latency_s=0.02) as served:
        served.faults.tokens_out = 500  # of 8
        project.write(served, n=100, models={"m": DEAR}, concurrency=8, max_cost_usd=1)
        sampling = {"max_tokens": 8}
        project.edit(
            candidates=[{"name": "m", "model": "sim/m", "prompt": {"user": "{question}"}, "sampling": sampling}]
        )
        status, report, _ = project.run()
        project.run("--resume", report["run_id"], "--max-cost", "1.1")  # room for one more
    a_call = (TOKENS_IN * DEAR["input"] + 500 * DEAR["output"]) / 1e6
    assert (status, report["state"]) == (2, "partial")
    assert 1.1 - 3 * a_call < served.billed["m"] * a_call <= 1.1


def test_a_limit_below_one_call_sends_nothing(project: Project) -> None:
    with fault_server() as served:
        project.write(served, max_cost_usd=0.000001)
        assert project.run()[0] == 2
    assert served.requests == 0


@pytest.mark.parametrize(
    ("models", "run", "said"),
    [
        ({"m": PRICE}, {"max_cost_usd": None}, "max_cost_usd"),
        ({"m": PRICE, "unpriced": None}, {"max_cost_usd": 1}, "has no price"),
    ],
)
def test_prices_and_limits_go_together(
    project: Project, models: dict[str, Any], run: dict[str, Any], said: str
) -> None:
    with fault_server() as served:
        project.write(served, models=models, **run)
        status, _, error = project.run()
    assert (status, served.requests) == (1, 0)
    assert said in error and error.count("\n") == 1


def test_an_unset_key_is_said_before_any_call(project: Project) -> None:
    with fault_server() as served:
        project.write(served)
        project.edit(providers={"sim": {"base_url": served.url, "api_key_env": "NOT_SET_ANYWHERE"}})
        status, _, error = project.run()
    assert (status, served.requests) == (1, 0)
    assert "NOT_SET_ANYWHERE" in error and error.count("\n") == 1


@pytest.mark.parametrize("fault", ["f401", "f401_echo"])
def test_a_key_reaches_the_server_and_nothing_else(project: Project, fault: str) -> None:
    key = "sk-a-secret-that-nobody-else-sees"
    project.environment["SIM_KEY"] = key
    with fault_server(latency_s=0.05, **{fault: 0.05}) as served:
        project.write(served)
        project.edit(providers={"sim": {"base_url": served.url, "api_key_env": "SIM_KEY"}})
        process = project.start(
            "run", str(project.file), "--json", str(project.folder / "r.json"), "--csv", str(project.folder / "r.csv")
        )
        limit = time.monotonic() + 30
        while not served.requests and time.monotonic() < limit:
            time.sleep(0.005)
        command_line = Path(f"/proc/{process.pid}/cmdline")
        shown = command_line.read_bytes().decode() if Path("/proc/self").exists() else "ftvp_core"
        out, err = process.communicate(timeout=60)
    assert served.keys == {f"Bearer {key}"}
    kept = [path.read_bytes() for path in project.folder.rglob("*") if path.is_file()]
    assert len(kept) > 3 and "ftvp_core" in shown
    assert not any(key.encode() in content for content in kept)
    assert key not in out + err + shown
    assert "wrong key" in err
