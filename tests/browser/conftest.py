"""The dashboard on a free port with a store of its own, and a browser that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.screenshots import FLAGS

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 60
expect.set_options(timeout=60_000)  # what is looked for, not how soon: these machines are busy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium isn't installed: .ci/run installs it")
        pytest.skip("Chromium isn't installed (chromium or google-chrome on the PATH)")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def dashboard(home: Path) -> Iterator[str]:
    """The dashboard on a free port, with a store of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = (home / "streamlit.log").open("w")
    server = subprocess.Popen(command, cwd=ROOT, env=environment(home), stdout=log, stderr=log)
    try:
        _wait_until_healthy(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1600}, accept_downloads=True)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def worker(home: Path) -> Iterator[None]:
    """A worker beside the dashboard, as `make run` starts one."""
    process = subprocess.Popen([sys.executable, "-m", "ftvp_core", "worker"], cwd=ROOT, env=environment(home))
    yield
    process.kill()
    process.wait()


def environment(home: Path) -> dict[str, str]:
    """Of processes that share the tests' store."""
    return {**os.environ, "FTVP_HOME": str(home / "store"), "PYTHONUTF8": "1"}


def _wait_until_healthy(port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the dashboard isn't healthy after {STARTS_WITHIN_S} s")
