"""Batches as a visitor meets them: chosen with the provider, watched at it, and without a latency on Compare."""

import json
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from ftvp_core.drafts import draft_keys, new_draft
from ftvp_core.report.load import load_report
from ftvp_core.report.share import share
from tests.fault_server import fault_server
from tests.pages.conftest import ROOT, Home, said
from tests.pages.test_compare import alts_of

Opened = Callable[..., AppTest]


@pytest.fixture
def ran(home: Home) -> Iterator[str]:
    """A finished run of one candidate in batches and one beside it."""
    with fault_server() as served:
        rows = [{"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": "yes"} for at in range(20)]
        (home.folder / "e.jsonl").write_text("\n".join(map(json.dumps, rows)))
        keys = {
            "eval_set": {"path": "e.jsonl"},
            "providers": {"sim": {"base_url": served.url}, "cheap": {"base_url": served.url, "batch": True}},
            "run": {"repeats": 2, "load": {"concurrency": [1, 4], "examples": 8}},
            "candidates": [
                {"name": name, "model": f"{name}/m", "prompt": {"user": "{question}"}} for name in ("cheap", "sim")
            ],
        }
        (home.folder / "c.yaml").write_text(json.dumps(keys))
        assert main(["run", str(home.folder / "c.yaml")]) == 0
        yield home.store.runs()[0].id


def test_a_batch_is_watched_on_run_and_has_no_latency_on_compare(home: Home, opened: Opened, ran: str) -> None:
    at = opened("pages/3_Run.py", ran)
    assert not at.exception
    (batch,) = at.dataframe[1].value.to_dict("records")
    assert batch.pop("sent").endswith(" s ago") and batch.pop("ends within") == ""
    expected = {"model": "cheap/m", "state": "completed, read", "requests": 40, "answered": 40, "failed": 0}
    assert batch == expected
    assert "half price, latency not measured, up to 24 h" in said(at)
    at = opened("pages/4_Compare.py", ran)
    assert not at.exception
    load = at.dataframe[1].value.to_dict("records")
    assert [(row["candidate"], row["in flight"], row["answered"]) for row in load] == [("sim", 1, 8), ("sim", 4, 8)]
    assert any(alt.startswith("Latency by calls in flight. sim: 1 in flight: p50") for alt in alts_of(at))
    assert any("cheap not measured (batch)" in alt for alt in alts_of(at))
    (first, _) = at.dataframe[0].value["over the repeats"]  # this server always says the same
    assert first.endswith("(SD 0.0 points), 0 % of examples flip")
    assert "Latency not measured (batch, at half price): cheap." in said(at).replace("\\", "")


def test_a_shared_link_shows_the_latency_under_load(home: Home, ran: str) -> None:
    store = home.store
    token = share(store, load_report(store, ran))
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    at.switch_page("pages/6_Shared.py")
    at.query_params["link"] = token
    at.run()
    assert not at.exception
    load = at.dataframe[1].value.to_dict("records")
    assert [(row["candidate"], row["in flight"], row["answered"]) for row in load] == [("sim", 1, 8), ("sim", 4, 8)]
    assert any(alt.startswith("Latency by calls in flight. sim: 1 in flight: p50") for alt in alts_of(at))


def test_a_provider_is_asked_in_batches_by_one_tick(home: Home, opened: Opened) -> None:
    (home.folder / "e.csv").write_text("question,answer\nrefund?,3 days\n", encoding="utf-8")
    one = {"name": "a", "model": "openai/gpt-4o-mini", "prompt": {"user": "{question}"}}
    draft_id = new_draft(
        home.store,
        {"name": "d", "eval_set": {"path": str(home.folder / "e.csv")}, "candidates": [one]},
    )
    at = opened("pages/2_Candidates.py")
    at.checkbox(key="candidate-batch-openai").check().run()
    next(box for box in at.text_input if box.label == "Name").set_value("b").run()
    next(box for box in at.text_input if box.label == "Model").set_value("gpt-4o-mini").run()
    next(button for button in at.button if button.label == "Add").click().run()
    assert not at.exception
    assert draft_keys(home.store, draft_id)["providers"]["openai"]["batch"] is True
