"""What the runner costs beside a server that takes 100 ms: python -m tests.bench.runner

`window` is the server's time from its first request to its last answer, `e2e` the whole command's; both over the
ideal, rows × 100 ms / concurrency. CPU and peak memory are the command's alone; `p95` is the latency it reports.
Each line is plain, then streamed; the largest is plain alone. The server is Python too: at 256 in flight on a small machine it shares the cores
that are measured.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
LATENCY_S = 0.1
#: Concurrency and rows.
CASES: Sequence[tuple[int, int]] = ((16, 1000), (64, 1000), (256, 1000), (256, 10_000))
#: Once, for its memory: it takes a minute.
LARGE = (256, 100_000)
STARTS = 9


def main() -> None:
    cores, (load, _, _) = os.cpu_count(), os.getloadavg()
    print(f"{cores} cores, load {load:.1f} before")
    server = subprocess.Popen([sys.executable, "-m", "tests.fault_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        print("concurrency   rows  window    e2e  CPU s/1000  peak MiB  p50 ms  p95 ms")
        for (concurrency, rows), stream in (*product(CASES, (False, True)), (LARGE, False)):
            with tempfile.TemporaryDirectory() as folder:
                line = measured(Path(folder), url, concurrency, rows, stream=stream)
                print(f"{line}{'  streamed' if stream else ''}", flush=True)
    finally:
        server.kill()
        server.wait()
    print(f"`runs` on a store with none: median {start_up_s() * 1000:.0f} ms of {STARTS}")


def measured(folder: Path, url: str, concurrency: int, rows: int, *, stream: bool) -> str:
    """One line of figures."""
    file = comparison(folder, url, concurrency, rows, stream=stream)
    report = folder / "report.json"
    began = time.monotonic()
    status, usage = call(folder, "run", str(file), "--json", str(report))
    e2e_s = time.monotonic() - began
    with urlopen(f"{url}/served") as answer:
        served: dict[str, float] = json.load(answer)
    (one,) = json.loads(report.read_text())["candidates"]
    assert status == 0 and one["attempts"] == one["n_scored"] == served["requests"] == rows
    ideal_s = rows * LATENCY_S / concurrency
    cpu_s = (usage.ru_utime + usage.ru_stime) * 1000 / rows
    p50, p95 = (one["latency_s"][key] * 1000 for key in ("p50", "p95"))
    return (
        f"{concurrency:>11} {rows:>6} {served['window_s'] / ideal_s:>7.2f} {e2e_s / ideal_s:>6.2f} "
        f"{cpu_s:>11.2f} {usage.ru_maxrss / 1024:>9.0f} {p50:>7.0f} {p95:>7.0f}"
    )


def comparison(folder: Path, url: str, concurrency: int, rows: int, *, stream: bool) -> Path:
    asked = [{"id": f"r{at}", "question": f"[ex-{at}] right?", "answer": "yes"} for at in range(rows)]
    (folder / "eval.jsonl").write_text("\n".join(map(json.dumps, asked)))
    keys: dict[str, Any] = {
        "eval_set": {"path": "eval.jsonl"},
        "providers": {"bench": {"base_url": url}},
        "candidates": [
            {"name": "m", "model": "bench/m", "prompt": {"user": "{question}"}, "sampling": {"stream": stream}}
        ],
        "run": {"concurrency": concurrency},
    }
    file = folder / "comparison.yaml"
    file.write_text(json.dumps(keys))
    return file


def call(folder: Path, *arguments: str) -> tuple[int, Any]:
    """Exit status and resource usage of one command."""
    command = subprocess.Popen(
        [sys.executable, "-m", "ftvp_core", *arguments],
        cwd=ROOT,
        env={**os.environ, "FTVP_HOME": str(folder / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    return command.returncode, usage


def start_up_s() -> float:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(STARTS):
            began = time.monotonic()
            assert call(Path(folder), "runs")[0] == 0
            took.append(time.monotonic() - began)
    return statistics.median(took)


if __name__ == "__main__":
    main()
