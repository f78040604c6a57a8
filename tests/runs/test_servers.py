"""After a failure: another try, a failed row, or a provider or model that the run goes on without."""

from typing import Any

import pytest

from ftvp_core.errors import CallFailed
from ftvp_core.runs.servers import LONGEST_RETRY_AFTER_S, TRIES, Next, Servers
from ftvp_core.spec import Candidate

ONE, TWO = (Candidate(name=name, model=f"acme/{name}") for name in ("one", "two"))
ELSEWHERE = Candidate(name="other", model="other/one")


def failure(**said: Any) -> CallFailed:
    return CallFailed("HTTP 429: slow down", outcome="refused", **said)


@pytest.mark.parametrize(("stops", "stopped"), [("model", [True, False]), ("provider", [True, True])])
def test_what_can_not_answer_is_stopped_alone(stops: Any, stopped: list[bool]) -> None:
    servers = Servers(8)
    assert servers.failed(ONE, failure(stops=stops), 1) == Next()
    assert [servers.is_stopped(one) for one in (ONE, TWO)] == stopped
    assert not servers.is_stopped(ELSEWHERE)


def test_a_wait_within_the_limit_is_kept_and_a_longer_one_parks_the_provider() -> None:
    servers = Servers(8)
    wait_s = servers.failed(ONE, failure(retry=True, retry_after_s=LONGEST_RETRY_AFTER_S), 1).wait_s
    assert wait_s is not None and 0 <= wait_s - LONGEST_RETRY_AFTER_S <= 0.1
    assert servers.causes == []
    assert servers.failed(ONE, failure(retry=True, retry_after_s=90.0), 1) == Next()
    assert [one.startswith("acme: parked: asks to wait 90 s, until 20") for one in servers.causes] == [True]


def test_a_row_that_no_wait_would_help_is_failed_whatever_its_server_asks_for() -> None:
    servers = Servers(8)
    assert servers.failed(ONE, failure(retry_after_s=86_400.0), 1) == Next(is_failed=True)
    assert servers.failed(ONE, failure(retry=True), TRIES) == Next(is_failed=True)
    assert not servers.is_stopped(ONE)


def test_as_many_failed_rows_in_a_row_as_run_side_by_side_stop_a_provider_and_an_answer_between_does_not() -> None:
    servers = Servers(16)
    for _ in range(15):
        servers.failed(ONE, failure(), 1)
    servers.answered(TWO)
    for _ in range(15):
        servers.failed(ONE, failure(), 1)
    assert not servers.is_stopped(TWO)
    servers.failed(ONE, failure(), 1)
    assert servers.is_stopped(TWO)
    assert servers.causes == ["acme: stopped after 16 failed rows in a row (HTTP 429: slow down)"]


def test_of_failed_rows_in_a_row_the_commonest_cause_is_named() -> None:
    servers = Servers(8)
    for cause in ("timed out", *["HTTP 500: our fault"] * 5, "timed out", "connection lost"):
        servers.failed(ONE, CallFailed(cause, outcome="unknown"), 1)
    assert servers.causes == ["acme: stopped after 8 failed rows in a row (HTTP 500: our fault)"]
