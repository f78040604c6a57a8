"""Run in each of a run's states: what it says, and what its buttons do."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from ftvp_core.store.ledger import Intent, Outcome, Unit, commit
from ftvp_core.store.schema import results
from tests.pages.conftest import Home, said
from tests.pages.test_compare import mostly

Opened = Callable[..., AppTest]
RUN = "pages/3_Run.py"
GONE = {"state": "running", "owner": "elsewhere:1:0.00", "beat_at": 1.0}


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def warned(at: AppTest) -> str:
    return "\n".join(element.value for kind in (at.warning, at.info) for element in kind)


def test_a_running_run_is_paused_resumed_and_cancelled(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, 30, 80)
    at = opened(RUN, run_id)
    assert not at.exception
    assert labels(at) == ["Pause", "Cancel"]
    press(at, "Pause")
    assert home.store.run(run_id).pause and labels(at) == ["Resume", "Cancel"]
    assert "Paused: no call is sent" in warned(at)
    press(at, "Resume")
    assert not home.store.run(run_id).pause and "Pause" in labels(at)
    press(at, "Cancel")
    assert home.store.run(run_id).cancel


def test_training_is_cancelled_but_not_paused(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 3, 8)
    home.change(run_id, progress={"phase": "training good", "done": 3, "total": 8})
    assert labels(opened(RUN, run_id)) == ["Cancel"]


def test_a_teachers_labels_have_a_row_of_their_own_and_are_paused(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 3, 8)
    phase = "few-8 labels for small"
    sides = [{"arm": 1, "name": phase, "calls": 900, "labels": {"teacher": 0, "students": [0]}}]
    home.change(run_id, progress={"phase": phase, "pauses": True, "done": 3, "total": 900}, sides=sides)
    at = opened(RUN, run_id)
    assert not at.exception
    _, labels_row = at.dataframe[0].value.to_dict("records")
    assert (labels_row["candidate"], labels_row["answered"], labels_row["of"]) == (phase, 0, 900)
    press(at, "Pause")
    assert home.store.run(run_id).pause and labels(at) == ["Resume", "Cancel"]
    assert "3 of 900" in at.get("progress")[0].proto.text


def test_each_candidate_has_its_figures_and_its_causes(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": [*mostly(10)[:-4], None, None, None, None]})
    home.begin(run_id, 30, 80)
    home.change(run_id, limit_usd=2)
    store = home.store
    with store.writing() as connection:
        first, second = (Intent(Unit(1, 0, 0), at, 1, time.time()) for at in (1, 2))  # type: ignore[arg-type]
        commit(connection, run_id, [first])
        refused = Outcome(first, "refused", cost_usd=0, cause="HTTP 500: *our* fault")  # type: ignore[arg-type]
        commit(connection, run_id, [refused, second])
        connection.execute(update(results).where(results.c.arm == 0, results.c.example < 5).values(from_cache=True))
    at = opened(RUN, run_id)
    assert not at.exception
    good, poor = at.dataframe[0].value.to_dict("records")
    assert (good["answered"], good["of"], good["failed"], good["from cache"], good["attempts"]) == (15, 40, 0, 5, 0)
    assert (poor["attempts"], poor["retries"], poor["spent"], poor["reserved"]) == (2, 1, "$0.00", "$1.00")
    shown = said(at).replace("\\", "")
    assert "poor: 1 × HTTP 500: *our* fault" in shown
    assert "$0.00 of $2.00, $1.00 reserved" in shown


def test_failed_rows_alone_are_asked_again(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": [*mostly(10)[:-4], None, None, None, None]})
    at = opened(RUN, run_id)
    assert "Go on" not in labels(at)
    press(at, "Retry the 4 failed rows")
    store = home.store
    assert (store.run(run_id).state, store.next_job()) == ("queued", run_id)
    assert len(store.finished(run_id)) == 76


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "cancelled", "cause": "cancelled"}, "Cancelled. What finished is kept, as a partial result."),
        (
            {"state": "partial", "cause": "sim: parked: asks to wait 86,400 s"},
            "Ended partial: sim: parked: asks to wait 86,400 s. What finished is kept.",
        ),
        (GONE, "Interrupted: the process that worked on it is gone."),
    ],
    ids=["cancelled", "partial", "interrupted"],
)
def test_a_run_that_ended_early_goes_on(home: Home, opened: Opened, state: dict[str, object], words: str) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 20, 40)
    home.change(run_id, **state)
    at = opened(RUN, run_id)
    assert words in warned(at).replace("\\", "")
    press(at, "Go on")
    assert not at.exception
    store = home.store
    assert (store.run(run_id).state, store.next_job(), len(store.finished(run_id))) == ("queued", run_id, 10)
    assert "waiting for a worker" in at.get("progress")[0].proto.text


def test_whoever_is_left_out_is_named_while_the_run_goes_on(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 20, 40)
    cause = "away: parked: asks to wait 86,400 s, until 2026-11-26 10:00 UTC"
    home.change(run_id, progress={"phase": "answering", "done": 20, "total": 40, "stopped": [cause]})
    assert f"Going on without {cause}" in warned(opened(RUN, run_id)).replace("\\", "")


def test_a_finished_run_leads_to_its_comparison(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    at = opened(RUN, run_id)
    assert {"Pause", "Cancel", "Go on"}.isdisjoint(labels(at))
    assert any(run_id in link.proto.query_string for link in at.get("page_link") if link.proto.label == "Compare")
