"""A new user's whole way: upload, define four candidates, run, watch, compare, download, share, look as a viewer."""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.fault_server import Served, fault_server

pytestmark = pytest.mark.browser
DATA = os.environ.get("FTVP_TEST_DATA")
SLOWEST_MS = 60_000
ROWS = 100


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.8) as served:
        yield served


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA isn't set")
@pytest.mark.timeout(400)
def test_from_an_upload_to_a_shared_link(
    dashboard: str, worker: None, page: Page, browser: Browser, server: Served, tmp_path: Path
) -> None:
    page.set_default_timeout(SLOWEST_MS)
    banking = Path(str(DATA)) / "banking77"

    page.goto(f"{dashboard}/Data")
    upload(page, 0, banking / "test.csv", "3,080 rows")
    page.get_by_text("Change how it is read").first.click()
    number = page.get_by_test_id("stNumberInputField").first
    number.fill(str(ROWS))
    number.press("Tab")
    page.get_by_role("tab", name="Training set").click()
    upload(page, 1, banking / "train.csv", "10,003 rows")
    page.get_by_role("tab", name="Knowledge").click()
    upload(page, 2, banking / "train.csv", "10,003 passages")
    leaks = page.get_by_text("Eval rows that stand in the training set too")
    expect(leaks).to_be_visible()
    page.get_by_role("button", name="Mend").first.click()
    expect(leaks).to_have_count(0)
    page.get_by_role("tab", name="Training set").click()
    expect(page.get_by_text("7 dropped, 9,996 kept as they were")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(leaks).to_be_visible()
    page.get_by_role("link", name="Next: define candidates").click()

    add(page, "Classical floor (no language model)", "floor")
    add(page, "Prompt (zero-shot)", "zero", server.url)
    add(page, "Few-shot prompt", "near", nearest=True)
    add(page, "RAG: passages in the prompt", "rag")
    page.get_by_role("link", name="Next: run").click()

    start = page.get_by_role("button", name=f"Run {3 * ROWS} calls")
    expect(start).to_be_visible()
    start.dblclick()
    expect(page.get_by_text("a second")).to_be_visible()  # progress with its rate
    page.get_by_role("link", name="Compare", exact=True).last.click()

    expect(page.get_by_text("done just now")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(5)
    for name in ("floor", "zero", "near", "rag"):
        expect(page.get_by_text(name, exact=True).first).to_be_attached()
    assert len(server.asked) == 3 * ROWS
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV: examples").click()
    started.value.save_as(tmp_path / "examples.csv")
    with (tmp_path / "examples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * ROWS
    assert {row["candidate"] for row in rows} == {"floor", "zero", "near", "rag"}

    page.get_by_text("Share", exact=True).click()
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_test_id("stCode").get_by_text("/Shared?link=").inner_text().strip()
    viewer = browser.new_context().new_page()  # a second profile: no cookie, no session of the first
    viewer.goto(link)
    expect(viewer.locator(".js-plotly-plot")).to_have_count(5, timeout=SLOWEST_MS)
    expect(viewer.get_by_text("Where they differ")).to_have_count(0)
    expect(viewer.get_by_role("link", name="Candidates")).to_have_count(0)
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
    viewer.goto(link)
    expect(viewer.get_by_text("was revoked")).to_be_visible(timeout=SLOWEST_MS)


@pytest.mark.parametrize(
    ("path", "title", "seen"),
    [
        ("", "Home", "Prompt, retrieve or fine-tune"),
        ("Data", "Data", "Name of the comparison"),
        ("Candidates", "Candidates", "Add a candidate"),
        ("Run", "Run", "Start a run|Run it again"),
        ("Compare", "Compare", "Compare"),
        ("Decide", "Decide", "Why|Nothing has been run yet"),
        ("Shared", "Shared comparison", "this link"),
    ],
)
def test_every_page_opens_cold_by_its_own_address(dashboard: str, page: Page, path: str, title: str, seen: str) -> None:
    page.goto(f"{dashboard}/{path}")
    shown = page.get_by_test_id("stMain")
    expect(shown.get_by_text(re.compile(seen)).first).to_be_visible()
    settled(page)
    assert page.title() == f"{title} · ftvp"
    assert re.search(seen, shown.inner_text())
    assert page.get_by_test_id("stException").count() == 0


def upload(page: Page, at: int, file: Path, seen: str) -> None:
    page.locator('input[type="file"]').nth(at).set_input_files(file)
    expect(page.get_by_text(f": {seen}").first).to_be_visible()


def add(page: Page, kind: str, name: str, base_url: str | None = None, *, nearest: bool = False) -> None:
    """Fill in the form. With `base_url` it names a new server; later candidates find that under its name."""
    choose(page, page.get_by_role("combobox", name="Kind"), kind)
    if kind.startswith("Classical"):
        typed(page, "Name", name)
    else:
        choose(page, page.get_by_role("combobox", name="Provider"), "another server" if base_url else "slow")
        if base_url:
            typed(page, "Its name", "slow")
            typed(page, "Its address", base_url)
        typed(page, "Name", name)
        typed(page, "Model", "one")
    if nearest:
        choose(page, page.get_by_role("combobox", name="Chosen"), "nearest")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("button", name="Remove")).to_have_count(["floor", "zero", "near", "rag"].index(name) + 1)


def choose(page: Page, box: Locator, option: str) -> None:
    box.click()
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def typed(page: Page, label: str, text: str) -> None:
    box = page.get_by_role("textbox", name=label, exact=True)
    box.fill(text)
    box.press("Tab")
    settled(page)


def settled(page: Page) -> None:
    """The script ran again, and ended."""
    page.wait_for_timeout(200)
    page.wait_for_function("document.querySelector('[data-test-script-state=\"notRunning\"]') !== null")
