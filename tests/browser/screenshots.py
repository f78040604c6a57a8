"""Remake screenshots of Compare: python tests/browser/screenshots.py URL FOLDER [NAME]

URL is a running dashboard's Compare address with its ?run=ID. Writes NAME-light.png, NAME-dark.png and
NAME-phone.png, compressed, for the README: start it on the BANKING77 run.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_VIEWS = (("light", 1440, "light"), ("dark", 1440, "dark"), ("phone", 390, "light"))


def main(url: str, folder: Path, name: str = "compare") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=FLAGS
        )
        for view, width, scheme in _VIEWS:
            page = browser.new_page(viewport={"width": width, "height": 1500}, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(url)
            settle(page)
            _fit(page, width)
            to = folder / f"{name}-{view}.png"
            page.screenshot(path=to)
            _compress(to)
            print(to, to.stat().st_size)
            page.close()
        browser.close()


def settle(page: Page) -> None:
    """Wait until the page is drawn: the app is idle and nothing is a skeleton any more."""
    page.get_by_test_id("stApp").wait_for()
    page.wait_for_function("document.querySelector('[data-test-script-state=\"notRunning\"]') !== null")
    page.wait_for_function("document.querySelector('[data-testid=stSkeleton]') === null")
    page.wait_for_timeout(1500)


def _fit(page: Page, width: int) -> None:
    """As tall as the content: what the inner container scrolled away isn't on a screenshot."""
    height = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 40, 6000)})
    page.wait_for_timeout(1200)


def _compress(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        whole = image.convert("RGB")
    small = whole.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
