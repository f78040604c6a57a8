"""What a click and a watched run cost: python -m tests.bench.pages

In a store of 50 small runs and two of 10 candidates × 3,000 rows, one of them going on. A click's time is the
browser's own, from the click to the first new text, the median of several; `whole` is until the page is idle and
nothing on it is stale. CPU is the dashboard's alone.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.screenshots import FLAGS
from tests.fault_server import Served, fault_server

ROOT = Path(__file__).parents[2]
SMALL, CANDIDATES, ROWS = 50, 10, 3_000
#: Answers that the run going on has before it becomes slow, and how slow: a few a second are still to come.
BEFORE, SLOW_S = 27_000, 10.0
WATCHED_S = 32
#: From an element's click to the first text that is new in the main part, in ms.
CLICK = """path => new Promise(done => {
  const one = document.evaluate(path, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue;
  const isNew = change => !(change.target.parentElement ?? change.target).closest('button')
    && (change.type === 'characterData' || [...change.addedNodes].some(node => node.textContent.trim()));
  const began = performance.now();
  new MutationObserver((changes, observer) => {
    if (changes.some(isNew)) { observer.disconnect(); requestAnimationFrame(() => done(performance.now() - began)); }
  }).observe(document.querySelector('[data-testid=stMain]'), {subtree: true, childList: true, characterData: true});
  one.click();
})"""
IDLE = """document.querySelector('[data-test-script-state="notRunning"]') !== null
  && document.querySelector('[data-testid=stSkeleton], [data-stale=true]') === null"""


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
    with tempfile.TemporaryDirectory() as named, fault_server(0.002) as served, sync_playwright() as play:
        folder = Path(named)
        filled(folder, served)
        dashboard, address = opened(folder)
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=FLAGS
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1600})
        page.set_default_timeout(120_000)
        served.requests = 0
        going_on = run(folder, "going on", large(served.url))
        try:
            while served.requests < BEFORE:
                time.sleep(0.1)
            served.faults.latency_s = SLOW_S
            print("watched for 30 s          CPU s per s")
            for at in ("Run", "Compare"):
                watched(page, dashboard, f"{address}/{at}?run={newest(folder)}")
            going_on.kill()
            going_on.wait()
            clicks(page, dashboard, address)
        finally:
            going_on.kill()
            dashboard.kill()
            dashboard.wait()


def filled(folder: Path, served: Served) -> None:
    """The small runs, and the large one that is done."""
    small = [{"id": f"q{at}", "question": f"question {at}", "answer": "yes" if at % 2 else "no"} for at in range(40)]
    rows = [
        {"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": "yes", "tags": [f"t{at % 4}"]} for at in range(ROWS)
    ]
    for name, each in (("small", small), ("large", rows)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, each)))
    (folder / "said.jsonl").write_text(
        "\n".join(json.dumps({"id": one["id"], "output": one["answer"]}) for one in small)
    )
    recorded = {"eval_set": {"path": "small.jsonl"}, "candidates": [{"name": "said", "recorded": "said.jsonl"}]}
    for at in range(SMALL):
        assert run(folder, f"small {at}", recorded).wait() == 0
    assert run(folder, "large", large(served.url)).wait() == 0


def large(url: str) -> dict[str, Any]:
    return {
        "eval_set": {"path": "large.jsonl"},
        "providers": {"bench": {"base_url": url}},
        "candidates": [
            {"name": f"m{at}", "model": f"bench/m{at}", "prompt": {"user": "{question}"}} for at in range(CANDIDATES)
        ],
        "run": {"concurrency": 64, "cache": False},
    }


def run(folder: Path, name: str, keys: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    file = folder / "comparison.yaml"
    file.write_text(json.dumps({"name": name, **keys}))
    return _process(folder, "-m", "ftvp_core", "run", str(file))


def newest(folder: Path) -> str:
    listed = subprocess.run(
        [sys.executable, "-m", "ftvp_core", "runs"], cwd=ROOT, env=_environment(folder), capture_output=True, check=True
    )
    return listed.stdout.decode().split()[0]


def opened(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return _process(folder, "-m", "streamlit", "run", "app.py", "--server.port", str(port)), f"http://127.0.0.1:{port}"


def watched(page: Page, dashboard: subprocess.Popen[bytes], address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("answering: ")).to_be_visible(timeout=60_000)
    page.wait_for_timeout(5_000)
    before = cpu_s(dashboard)
    page.wait_for_timeout(1_000 * WATCHED_S)
    print(f"{page.title():<25} {(cpu_s(dashboard) - before) / WATCHED_S:>11.3f}", flush=True)


def clicks(page: Page, dashboard: subprocess.Popen[bytes], address: str) -> None:
    print("click                       ms  whole ms  CPU ms")
    page.goto(address)
    page.get_by_role("link", name="large", exact=True).click()
    page.get_by_role("heading", name="Where they differ").wait_for(timeout=60_000)
    for at, names in (
        ("//button[contains(., '{}')]", ("B right, A wrong", "both wrong", "A right, B wrong") * 2),
        ("//button[@aria-label='Page {}']", ("2", "3", "2", "3")),
        ("//*[@data-testid='stSidebar']//a[.='{}']", ("Decide", "Compare", "Run", "Home", "Data", "Candidates")),
    ):
        line(page, dashboard, [at.format(name) for name in names], "pages" if "Sidebar" in at else names[0])


def line(page: Page, dashboard: subprocess.Popen[bytes], paths: Sequence[str], said: str) -> None:
    found = []
    for path in paths:
        page.wait_for_timeout(1_500)
        before, began = cpu_s(dashboard), time.monotonic()
        first = page.evaluate(CLICK, path)
        page.wait_for_function(IDLE)
        found.append((first, 1_000 * (time.monotonic() - began), 1_000 * (cpu_s(dashboard) - before)))
    first, whole, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"{said:<25} {first:>4.0f} {whole:>9.0f} {cpu:>7.0f}", flush=True)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def _process(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "FTVP_HOME": str(folder / "home")}


if __name__ == "__main__":
    main()
