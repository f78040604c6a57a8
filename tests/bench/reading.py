"""What importing an upload costs: python -m tests.bench.reading

Each file is read in a fresh process of the server's kind through the child. Peaks are above what both processes hold
before they begin, over the file's size; `both` adds the two peaks, which don't fall together.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXTS = (
    "My card hasn't arrived yet, and I ordered it more than two weeks ago: where is it?",
    "카드를 2주 전에 신청했는데 아직 도착하지 않았어요. 지금 어디쯤 왔는지 알 수 있을까요?",
    "Meine Karte ist nach zwei Wochen immer noch nicht da, können Sie bitte nachsehen?",
)
MEBIBYTE = 1 << 20


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print("file             MiB     s   parent   child    both")
    with tempfile.TemporaryDirectory() as folder:
        nothing = table(Path(folder) / "small.csv", 2)
        _, parent_base, child_base = measured(nothing)
        for rows in (2, 3_000, 100_000):
            path = table(Path(folder) / f"{rows}.csv", rows)
            seconds, parent, child = measured(path)
            size = path.stat().st_size
            over = [max(0, grown) / size for grown in (parent - parent_base, child - child_base)]
            print(
                f"{path.name:14}{size / MEBIBYTE:>6.1f} {seconds:>5.2f} "
                f"{over[0]:>7.2f}x {over[1]:>6.2f}x {sum(over):>6.2f}x",
                flush=True,
            )


def table(path: Path, rows: int) -> Path:
    lines = (f'{at:07},"{TEXTS[at % 3]} ({at})",label {at % 77}\n' for at in range(rows))
    path.write_text("id,text,label\n" + "".join(lines), encoding="utf-8")
    return path


def measured(path: Path) -> tuple[float, int, int]:
    """Seconds of the reading, and the peaks of both processes in bytes."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench.reading", str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, parent, child = json.loads(run.stdout)
    return seconds, parent, child


def read(path: Path) -> None:
    from ftvp_core.data.safely import read_table_safely

    began = time.monotonic()
    read_table_safely(path)
    seconds = time.monotonic() - began
    peaks = [resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([seconds, *peaks]))


if __name__ == "__main__":
    read(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
