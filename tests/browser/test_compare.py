"""Compare as a visitor meets it: a cold deep link in Chromium, what is seen, and the CSV that is downloaded."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ROOT, environment
from tests.browser.screenshots import settle

pytestmark = pytest.mark.browser
DATA = os.environ.get("FTVP_TEST_DATA")

SMALL = """name: opening hours
eval_set: {path: eval.csv}
candidates:
  - {name: good, recorded: good.csv}
  - {name: poor, recorded: poor.csv}
"""
BANKING = """name: banking floors
eval_set: {{path: "{data}/banking77/test.csv"}}
train_set: {{path: "{data}/banking77/train.csv"}}
prices: {{machine_hour: 0.20}}
candidates:
  - {{name: svm, floor: tfidf-svm}}
  - {{name: nearest, floor: nearest}}
"""


@pytest.fixture(scope="module")
def small_run(home: Path) -> str:
    folder = home / "small"
    folder.mkdir()
    questions = [(f"q{at}", f"Is shop {at} open today?", "yes" if at % 2 else "no") for at in range(60)]
    _write(folder / "eval.csv", [("id", "input", "reference"), *questions])
    _write(folder / "good.csv", [("id", "output"), *((id_, right) for id_, _, right in questions)])
    _write(folder / "poor.csv", [("id", "output"), *((id_, "=1+1") for id_, _, _ in questions)])
    (folder / "comparison.yaml").write_text(SMALL)
    return _run(home, folder / "comparison.yaml")


def test_a_cold_deep_link_shows_the_answer_and_its_evidence(dashboard: str, page: Page, small_run: str) -> None:
    page.goto(f"{dashboard}/Compare?run={small_run}")
    expect(page.get_by_role("heading", name="opening hours")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("good answers 100 % right (94–100), 100 points above poor")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(5)
    expect(page.get_by_text("A right, B wrong (60)")).to_be_visible()
    expect(page.get_by_text("Is shop 0 open today?")).to_be_visible()
    link = page.get_by_role("link", name="Compare", exact=True)
    assert small_run in (link.get_attribute("href") or "")


def test_charts_say_their_finding_to_a_screen_reader(dashboard: str, page: Page, small_run: str) -> None:
    page.goto(f"{dashboard}/Compare?run={small_run}")
    chart = page.locator('[aria-label*="good 100 % (94–100)"]').first
    expect(chart).to_be_attached(timeout=30_000)
    assert "poor 0 % (0–6)" in (chart.get_attribute("aria-label") or "")


def test_paging_and_kinds_answer_in_place(dashboard: str, page: Page, small_run: str) -> None:
    page.goto(f"{dashboard}/Compare?run={small_run}")
    expect(page.get_by_text("Is shop 0 open today?")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Page 2", exact=True).click()
    expect(page.get_by_text("Is shop 5 open today?")).to_be_visible()
    page.get_by_text("both wrong (0)").click()
    expect(page.get_by_text("No example.")).to_be_visible()
    assert page.get_by_text("Is shop 5 open today?").count() == 0


def test_the_csv_holds_every_example_and_no_formula(dashboard: str, page: Page, small_run: str, tmp_path: Path) -> None:
    rows = _download(page, f"{dashboard}/Compare?run={small_run}", "CSV: examples", tmp_path)
    assert len(rows) == 2 * 60
    assert {row["output"] for row in rows if row["candidate"] == "poor"} == {"'=1+1"}


def test_the_tables_own_download_is_out_of_reach(dashboard: str, page: Page, small_run: str) -> None:
    """It would write formulas as they are."""
    page.goto(f"{dashboard}/Compare?run={small_run}")
    table = page.get_by_test_id("stDataFrame").first
    table.hover(timeout=30_000)
    expect(table).to_be_visible()
    assert not any(button.is_visible() for button in page.get_by_label("Download as CSV").all())


def test_on_a_phone_nothing_runs_off_the_side(dashboard: str, browser: Browser, small_run: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{dashboard}/Compare?run={small_run}")
    expect(page.get_by_text("good answers 100 % right")).to_be_visible(timeout=30_000)
    settle(page)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") <= 0
    page.close()


@pytest.mark.parametrize(("scheme", "primary"), [("light", "rgb(11, 110, 153)"), ("dark", "rgb(90, 180, 220)")])
def test_a_link_has_the_themes_own_colour(
    dashboard: str, browser: Browser, small_run: str, scheme: Literal["light", "dark"], primary: str
) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(dashboard)
    link = page.get_by_role("link", name="opening hours").locator("p")
    expect(link).to_have_css("color", primary)
    page.close()


def test_home_lists_the_run_and_leads_to_it(dashboard: str, page: Page, small_run: str) -> None:
    page.goto(dashboard)
    page.get_by_role("link", name="opening hours").click(timeout=30_000)
    expect(page.get_by_text("good answers 100 % right")).to_be_visible(timeout=30_000)
    assert f"run={small_run}" in page.url


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA isn't set")
def test_banking77(dashboard: str, page: Page, home: Path, tmp_path: Path) -> None:
    file = home / "banking.yaml"
    file.write_text(BANKING.format(data=DATA))
    address = f"{dashboard}/Compare?run={_run(home, file)}"
    page.goto(address)
    expect(page.get_by_text("svm answers 91 % right (90–92)")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("3,080 examples")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(5)
    rows = _download(page, address, "CSV: examples", tmp_path)
    assert len(rows) == 2 * 3080
    right = [float(row["grade"]) for row in rows if row["candidate"] == "svm"]
    assert sum(right) / len(right) == pytest.approx(0.91, abs=0.01)
    assert [row["name"] for row in _download(page, address, "CSV: candidates", tmp_path)] == ["svm", "nearest"]


def _download(page: Page, address: str, label: str, folder: Path) -> list[dict[str, str]]:
    page.goto(address)
    with page.expect_download(timeout=60_000) as started:
        page.get_by_role("button", name=label).click(timeout=30_000)
    to = folder / started.value.suggested_filename
    started.value.save_as(to)
    with to.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _run(home: Path, file: Path) -> str:
    """Run a comparison by the command line, as a user would, and return its id."""
    command = [sys.executable, "-m", "ftvp_core"]
    subprocess.run([*command, "run", str(file)], cwd=ROOT, env=environment(home), check=True, capture_output=True)
    listed = subprocess.run(
        [*command, "runs"], cwd=ROOT, env=environment(home), check=True, capture_output=True, text=True
    )
    return listed.stdout.split()[0]


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
