"""Run in each of a run's states: what it says, and what its buttons do."""

import json
import time
from collections.abc import Callable

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import NumberInput

from ftvp_core.__main__ import main
from ftvp_core.drafts import change, draft_keys, new_draft, to_spec
from ftvp_core.store.ledger import Intent, Outcome, Unit, commit
from ftvp_core.store.measurements import say, settle, take
from ftvp_core.store.schema import results
from tests.fault_server import fault_server
from tests.pages.conftest import Home, said
from tests.pages.test_compare import mostly

Opened = Callable[..., AppTest]
RUN = "pages/3_Run.py"
GONE = {"state": "running", "owner": "elsewhere:1:0.00", "beat_at": 1.0}


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def shown(at: AppTest) -> str:
    return said(at).replace("\\", "")


def bar(at: AppTest) -> str:
    return str(at.get("progress")[0].proto.text).replace("\\", "")


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


def test_training_is_watched_paused_and_cancelled(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 3, 8)
    home.change(run_id, progress={"phase": "training good", "pauses": True, "done": 3, "total": 8})
    about = {
        "validation": [[2, 3.5]], "validation_rows": 12, "best_step": 2, "device": "cpu", "tokens_per_s": 1234.0,
        "memory_bytes": 640e6, "expected_s": 120.0, "expected_bytes": 700e6,
    }  # fmt: skip
    log = [[1, 4.25], [2, 3.0], [3, 2.5]]
    home.store.keep_tuning(run_id, 0, adapter="a", rows=100, seconds=None, cost_usd=None, log=log, about=about)
    at = opened(RUN, run_id)
    assert not at.exception
    assert labels(at) == ["Pause", "Cancel"]
    shown = said(at).replace("\\", "")
    assert (
        "good: 100 rows · 12 held out, the best at step 2 · 1.2 k tokens a second · 640 MB of memory at most" in shown
    )
    assert "measured beforehand: 2 min, 700 MB" in shown
    chart = at.get("plotly_chart")[0].proto
    assert chart.alt == "Training loss of good: 4.25 at first, 2.5 now; of the rows held out 3.5 at step 2."
    press(at, "Pause")
    assert home.store.run(run_id).pause and labels(at) == ["Resume", "Cancel"]
    assert "no training step is done" in warned(at)


def draft_with_a_training(home: Home) -> str:
    for name in ("eval", "train"):
        rows = "".join(f"the {name} row of number {n},yes\n" for n in range(30))
        (home.folder / f"{name}.csv").write_text(f"question,answer\n{rows}")
    candidate = {"name": "lora", "model": "local/demo", "prompt": {"user": "{input}"}, "tune": {}}
    keys = {
        "name": "d",
        "eval_set": {"path": str(home.folder / "eval.csv"), "input": "question", "reference": "answer", "limit": 20},
        "train_set": {"path": str(home.folder / "train.csv"), "input": "question", "reference": "answer"},
        "prices": {"machine_hour": 3.6},
        "candidates": [candidate],
    }
    return new_draft(home.store, keys)


def test_what_a_training_takes_is_measured_by_a_worker_before_the_run(home: Home, opened: Opened) -> None:
    draft_with_a_training(home)
    at = opened(RUN)
    assert not at.exception
    assert "lora is tuned on 30 rows: fewer than 50 are a start at best" in warned(at).replace("\\", "")
    assert "Training lora: not measured yet" in said(at).replace("\\", "")
    press(at, "Measure the training first")
    assert "Training lora: a worker measures it when its run has ended. If no worker runs" in shown(at)
    row = take(home.store)
    assert row is not None and take(home.store) is None
    assert "Training lora: a worker measures it" in shown(at.run()) and "when its run" not in shown(at)
    say(home.store, row.key, waits=True)
    assert "measured when another training or ingestion on the worker's machine has ended" in shown(at.run())
    assert "Stop measuring" in labels(at)
    say(home.store, row.key, waits=False)
    found = {"seconds": 100.0, "memory_bytes": 500e6, "device": "cpu", "steps": 24, "rows": 30, "validation_rows": 0}
    settle(home.store, row.key, found=found)
    at = opened(RUN)
    assert "Training lora: about 2 min on the CPU, 500 MB of memory, $0.10; 30 rows" in said(at).replace("\\", "")
    assert next(metric.value for metric in at.metric if metric.label == "Time") == "2 min"
    assert "Measure the training first" not in labels(at)
    next(box for box in at.number_input if box.label == "Repeats").set_value(2).run()
    assert "Measure the training first" not in labels(at), "how it is asked doesn't change its training"


def test_a_measurement_is_stopped(home: Home, opened: Opened) -> None:
    draft_with_a_training(home)
    at = press(opened(RUN), "Measure the training first")
    press(at, "Stop measuring")
    assert "Training lora: not measured yet" in shown(at)
    assert take(home.store) is None


def test_many_trainings_are_summed_up(home: Home, opened: Opened) -> None:
    draft_id = draft_with_a_training(home)
    sweep = {"candidate": "lora", "over": "tune.examples", "values": [10, 20], "seeds": [0, 1]}
    change(home.store, draft_id, sweeps=[sweep])
    at = opened(RUN)
    assert "5 of 5 trainings: not measured yet" in shown(at)
    press(at, "Measure the training first")
    while row := take(home.store):
        found = {"seconds": 60.0, "memory_bytes": 5e8, "device": "cpu", "steps": 9, "rows": 20, "validation_rows": 0}
        settle(home.store, row.key, found=found)
    assert "5 of 5 trainings: about 5 min one after another, 500 MB of memory at most, $0.30" in shown(opened(RUN))


def draft_of_a_server(home: Home, **run: object) -> str:
    """One priced candidate on a server, asked about 40 rows."""
    (home.folder / "e.csv").write_text("question,answer\n" + "".join(f"question {at},yes\n" for at in range(40)))
    keys = {
        "name": "served",
        "eval_set": {"path": str(home.folder / "e.csv")},
        "providers": {"sim": {"base_url": "http://127.0.0.1:9/v1"}},
        "prices": {"sim/m": {"input": 100, "output": 100}},
        "candidates": [{"name": "a", "model": "sim/m", "sampling": {"max_tokens": 10}}],
        **({"run": run} if run else {}),
    }
    return new_draft(home.store, keys)


def metric(at: AppTest, label: str) -> str:
    return str(next(one.value for one in at.metric if one.label == label))


def number(at: AppTest, label: str) -> NumberInput:
    return next(one for one in at.number_input if one.label == label)


def test_the_estimate_follows_the_runs_settings_which_are_the_files(home: Home, opened: Opened) -> None:
    draft_id = draft_of_a_server(home)

    def kept() -> object:
        return draft_keys(home.store, draft_id).get("run")

    at = opened(RUN)
    assert not at.exception
    assert (metric(at, "Calls"), number(at, "Limit, in USD").value, kept()) == ("40", 1.0, None)
    number(at, "Repeats").set_value(3).run()
    assert (metric(at, "Calls"), kept()) == ("120", {"repeats": 3})
    assert "Calls: 1 × 40 rows × 3 repeats." in shown(at)
    next(box for box in at.checkbox if box.label == "Measure the latency under load").check().run()
    assert (metric(at, "Calls"), kept()) == ("376", {"repeats": 3, "load": {}})
    assert "256 for the latency under load" in shown(at)
    assert metric(at, "Time") == "89 s", "64 calls of a second alone, 16 by four, 4 by sixteen, 1 by 64, and 120 by 32"
    at.multiselect[0].set_value([128, 2]).run()
    load = {"concurrency": [2, 128], "examples": 128}
    assert (metric(at, "Calls"), kept()) == ("376", {"repeats": 3, "load": load}), "as many calls as are in flight"
    number(at, "Repeats").set_value(1).run()
    number(at, "Limit, in USD").set_value(2.5).run()
    next(box for box in at.checkbox if box.label == "Use the cache of answers").uncheck().run()
    number(at, "USD an hour of this machine").set_value(0.2).run()
    assert kept() == {"load": load, "max_cost_usd": 2.5, "cache": False}, "a default isn't kept"
    keys = draft_keys(home.store, draft_id)
    assert keys["prices"]["machine_hour"] == 0.2
    assert to_spec(keys).run.load is not None
    next(box for box in at.checkbox if box.label == "Measure the latency under load").uncheck().run()
    assert kept() == {"max_cost_usd": 2.5, "cache": False}
    change(home.store, draft_id, run={"repeats": 2})  # in another tab
    assert number(at.run(), "Repeats").value == 2 and metric(at, "Calls") == "80"


def test_a_priced_run_has_a_limit_and_says_what_it_may_cost(home: Home, opened: Opened) -> None:
    draft_id = draft_of_a_server(home)
    at = opened(RUN)
    # 40 rows of about 43 bytes as a message: 11 tokens, or at the most one a byte, and 10 of the answer; $100 a million
    assert metric(at, "Cost") == "$0.043–$0.20"
    assert "Run 40 calls, at most $0.20" in labels(at)
    number(at, "Limit, in USD").set_value(0.15).run()
    assert "It may cost more than the limit" in shown(at)
    assert "Run 40 calls, at most $0.15" in labels(at)
    number(at, "Limit, in USD").set_value(None).run()
    assert number(at, "Limit, in USD").value == 1.0, "it can't be without one"
    change(home.store, draft_id, prices=None)
    at = opened(RUN)
    assert number(at, "Limit, in USD").value is None and metric(at, "Cost") == "unknown"


def test_a_run_that_reached_its_limit_goes_on_with_a_higher_one(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 20, 40)
    home.change(run_id, state="partial", cause="the limit of $1.00 is reached", limit_usd=1)
    at = opened(RUN, run_id)
    number(at, "Limit to go on with, in USD").set_value(2.5).run()
    press(at, "Go on")
    assert not at.exception
    run = home.store.run(run_id)
    assert (run.state, str(run.limit_usd)) == ("queued", "2.5")


def test_a_training_that_waits_for_another_says_so(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36)})
    home.begin(run_id, 0, 0)
    home.change(run_id, progress={"phase": "training good", "pauses": True, "done": 0, "total": 0, "waits": True})
    at = opened(RUN, run_id)
    assert "training good: waits for another training on this machine" in bar(at)
    assert "Cancel" in labels(at)
    home.change(run_id, progress={"phase": "indexing", "pauses": True, "done": 0, "total": 0, "waits": True})
    assert "indexing: waits for another ingestion on this machine" in bar(opened(RUN, run_id))


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


def served_draft(home: Home, url: str, **run: object) -> str:
    rows = [{"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": "yes"} for at in range(20)]
    (home.folder / "e.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (home.folder / "k.md").write_text("One passage.\n\nAnother.")
    asked = {"model": "sim/m", "prompt": {"user": "{question}"}}
    keys = {
        "eval_set": {"path": str(home.folder / "e.jsonl"), "limit": 12},
        "knowledge": {"path": str(home.folder / "k.md")},
        "providers": {"sim": {"base_url": url}, "cheap": {"base_url": url, "batch": True}},
        "candidates": [
            {"name": "zero", **asked},
            {"name": "json", **asked, "output_schema": {"type": "string"}},
            {"name": "batch", **asked, "model": "cheap/m"},
        ],
        "run": {"repeats": 2, **run},
    }
    (home.folder / "c.yaml").write_text(json.dumps(keys))
    return new_draft(home.store, keys)


def test_before_the_start_it_says_what_the_cache_has(
    home: Home, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_server() as served:
        draft_id = served_draft(home, served.url)
        assert "The cache has none of these 72 calls." in shown(opened(RUN))
        assert main(["run", str(home.folder / "c.yaml")]) == 0
    at = opened(RUN)
    assert not at.exception
    assert "The cache has 72 of 72 calls" in shown(at), "as the run itself will find: nothing is sent again"
    candidates = draft_keys(home.store, draft_id)["candidates"]
    rag = {"name": "rag", "model": "sim/m", "prompt": {"user": "{question}"}, "retrieval": {}}
    changed = {**candidates[0], "prompt": {"user": "{question} Now."}}
    change(home.store, draft_id, candidates=[changed, *candidates[1:], rag])
    change(home.store, draft_id, eval_set={"path": str(home.folder / "e.jsonl"), "limit": 14, "seed": 0})
    said_now = shown(opened(RUN))
    assert "The cache has 48 of 84 calls" in said_now, "the changed prompt's and the two new rows' aren't there"
    assert "Not looked up, for their prompts are known after a search: rag." in said_now
    monkeypatch.setattr("ui.run.LOOKED_UP", 10)
    at = opened(RUN)
    assert "The cache has" not in shown(at)
    assert "The cache has 48 of 84 calls" in shown(press(at, "See what the cache has"))
    change(home.store, draft_id, run={"cache": False})
    assert "The cache has" not in shown(at.run()) and "See what the cache has" not in labels(at)
