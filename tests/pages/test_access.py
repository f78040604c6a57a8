"""The access key: asked for once a visit, and never in the way of a shared link."""

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.report.load import load_report
from ftvp_core.report.share import share
from tests.pages.conftest import ROOT, ROWS, Home


def test_the_key_is_asked_for_once_a_visit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTVP_ACCESS_KEY", "open sesame")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
    assert not at.title
    at.text_input[0].set_value("wrong").run()
    assert "wrong" in at.text[0].value and not at.title
    at.text_input[0].set_value("open sesame").run()
    assert at.title
    at.run()
    assert at.title
    at.switch_page("pages/1_Data.py").run()
    assert at.title[0].value == "Data"


@pytest.mark.parametrize("setting", ["FTVP_ACCESS_KEY", "FTVP_VIEWER_ONLY"])
def test_a_shared_link_shows_its_comparison_and_nothing_else_opens(
    home: Home, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    run_id = home.run({"good": [row[2] for row in ROWS], "poor": ["no"] * len(ROWS)}, name="to be shared")
    token = share(home.store, load_report(home.store, run_id))
    monkeypatch.setenv(setting, "1")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
    assert not at.title
    at.switch_page("pages/6_Shared.py")
    at.query_params["link"] = token
    at.run()
    assert at.title[0].value == "to be shared"
    assert not at.sidebar.children
    at.query_params["link"] = token[:-1] + ("A" if token[-1] != "A" else "B")
    at.run()
    assert not at.title and "revoked" in at.text[0].value


def test_a_revoked_link_shows_nothing(home: Home) -> None:
    run_id = home.run({"good": [row[2] for row in ROWS]})
    token = share(home.store, load_report(home.store, run_id))
    (link,) = home.store.shares(run_id)
    assert token not in str(tuple(link))
    home.store.revoke(link.token_sha256)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).switch_page("pages/6_Shared.py")
    at.query_params["link"] = token
    at.run()
    assert not at.title and "revoked" in at.text[0].value
