"""Home, the sidebar, and who may come in."""

import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import ROOT, Home, said
from tests.pages.test_compare import mostly

Opened = Callable[..., AppTest]


def test_empty_says_what_to_do_next(home: Home, opened: Opened) -> None:
    at = opened("app.py")
    assert not at.exception
    assert "There is none yet." in said(at)
    assert not at.code, "nobody who sees the button needs a command"
    assert [button.label for button in at.button] == ["Run the demo"]


def test_the_demos_four_findings_are_shown_with_their_intervals(home: Home, opened: Opened) -> None:
    at = opened("app.py")
    words = said(at)
    for title in ("need retrieval", "need tuning", "need both", "similar passages"):
        assert title in words.lower()
    charts = at.get("plotly_chart")
    assert len(charts) == 4
    assert all(re.search(r"\d+ % \(\d+–\d+\)", chart.proto.alt) for chart in charts)


def test_runs_are_links_to_their_comparison(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    links = opened("app.py").get("page_link")
    assert any(run_id in link.proto.query_string for link in links)


def test_a_run_that_goes_on_says_how_far_it_is(home: Home, opened: Opened) -> None:
    home.begin(home.run({"good": mostly(36), "poor": mostly(10)}), done=40, total=80)
    assert "answering: 40 of 80" in said(opened("app.py")).replace("\\", "")


def test_the_demos_charts_are_drawn_when_they_are_opened(home: Home, opened: Opened) -> None:
    home.run({"good": mostly(36), "poor": mostly(10)})
    at = opened("app.py")
    assert not at.exception and not at.get("plotly_chart")


def test_the_newest_runs_are_listed_and_the_older_ones_counted(
    home: Home, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.runs._LISTED", 1)
    older, newest = (home.run({"good": mostly(36)}, name=name) for name in ("before", "after"))
    home.change(older, created_at=1.0)
    at = opened("app.py")
    listed = [link.proto.query_string for link in at.get("page_link") if "run=" in link.proto.query_string]
    assert len(listed) == 1 and newest in listed[0]
    assert "1 older ones: python -m ftvp_core runs" in said(at)


def test_the_sidebar_lists_pages_that_exist(home: Home, opened: Opened) -> None:
    labels = [link.proto.label for link in opened("app.py").sidebar.get("page_link")]
    there = [path.stem.partition("_")[2] for path in sorted((ROOT / "pages").glob("[1-5]_*.py"))]
    assert labels == ["Home", *there]


@pytest.mark.parametrize("page", ["app.py", "pages/4_Compare.py"])
def test_an_access_key_guards_every_page(
    home: Home, opened: Opened, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    monkeypatch.setenv("FTVP_ACCESS_KEY", "sesame")
    at = opened(page, run_id)
    assert "small" not in said(at)
    at.text_input[0].input("wrong").run()
    assert "This access key is wrong." in said(at)
    at.text_input[0].input("sesame").run()
    assert not at.exception
    assert not at.text_input


def test_a_viewer_host_shows_no_page(home: Home, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    home.run({"good": mostly(36), "poor": mostly(10)})
    monkeypatch.setenv("FTVP_VIEWER_ONLY", "1")
    at = opened("app.py")
    assert not at.get("page_link")
    assert "shared comparisons only" in said(at)
