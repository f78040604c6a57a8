"""Uploads are parsed in a process of their own: whatever a file does there, the server stays up.

The child has limits of memory, time and size, no key in its environment and no network. Its result is a file of
JSON lines in a private folder: objects that say how the file was read, the last when it was read whole, and between
them a list for each row or passage.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftvp_core.data.rows import Row, Table, as_text, noting_keys, open_table, pack_rows, read_json, to_json
from ftvp_core.errors import UserError
from ftvp_core.types import Knowledge, Passage

if TYPE_CHECKING:
    from ftvp_core.spec import KnowledgeSpec

MEMORY_BYTES = 1 << 30
MOST_ROWS = 1_000_000
MOST_CELL_CHARACTERS = 2_000_000
#: What all rows may take where they are used: so much for a small file, and more for each of a larger one's bytes.
HELD_BYTES, HELD_PER_BYTE = 100_000_000, 10
#: Python's own share in that, about: of a row and of a cell.
ROW_BYTES, CELL_BYTES = 200, 60
#: Seconds for the first million bytes, more for each other, and the most.
BASE_S, S_PER_MB, MOST_S = 8, 4, 180
#: A reader that reads otherwise has another: what was kept by the one before isn't taken.
VERSION = 2

ROOT = Path(__file__).parents[2]
#: What Python and its libraries need to start. Nothing else goes to the child, keys least of all.
PASSED = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
SET = {
    "PYTHONPATH": str(ROOT),
    "PYTHONUTF8": "1",
    "OPENBLAS_NUM_THREADS": "1",  # threads take address space, which is limited
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
#: What Python code in the child may not do: a parser has no need to.
FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.")
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000

log = logging.getLogger(__name__)


def read_table_safely(path: Path, encoding: str | None = None, kept: Path | None = None) -> Table:
    """`rows.read_table` in a child. `kept` is a file for its result, read instead the next time. Raises UserError."""
    request = {"kind": "table", "path": str(path), "encoding": encoding, "bytes": _size(path)}
    head: dict[str, Any] = {}
    rows = pack_rows(_rows(_records(request, path, kept), head))
    columns = tuple(head["columns"] if head["columns"] is not None else head["found"])
    return Table(str(path), head["sha256"], head["format"], head["encoding"], columns, rows, head["sheet"])


def _rows(records: Iterable[Any], head: dict[str, Any]) -> Iterator[Row]:
    """The rows of a table's records; `head` gets what says how it was read."""
    once: dict[str, str] = {}
    for record in records:
        if isinstance(record, dict):
            head |= record
        elif head["columns"] is None:
            yield record[0]
        else:
            yield dict(zip(head["columns"], (_once(cell, once) for cell in record), strict=True))


def _once(cell: Any, once: dict[str, str]) -> Any:
    """A label stands in many rows: the same short text is held once."""
    if isinstance(cell, str) and len(cell) <= 40:
        return once.setdefault(cell, cell) if len(once) < 5_000 else once.get(cell, cell)
    return cell


def read_knowledge_safely(path: Path, spec: "KnowledgeSpec", kept: Path | None = None) -> Knowledge:
    """`knowledge.read_knowledge` in a child; `kept` as above. Raises UserError."""
    request = {"kind": "knowledge", "path": str(path), "spec": spec.model_dump(), "bytes": _size(path)}
    head: dict[str, Any] = {}
    passages: list[Passage] = []
    for record in _records(request, path, kept):
        if isinstance(record, dict):
            head |= record
        else:
            passages.append(Passage(*record))
    return Knowledge(path.name, head["sha256"], tuple(passages), tuple(head["empty"]))


def _size(path: Path) -> int:
    """Bytes of a file, or of all below a folder. Raises UserError."""
    try:
        files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)
    except (OSError, ValueError) as error:  # a ValueError: a null character in the path
        raise UserError(str(path), f"can't be read ({getattr(error, 'strerror', error)})", "check the path") from None


def _records(request: dict[str, Any], path: Path, kept: Path | None) -> Iterator[Any]:
    """The result's lines, from what was kept or from a child. Raises UserError with the child's own words."""
    if kept is not None and kept.exists():
        yield from _loaded(kept)
        return
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=kept.parent if kept else None) as folder:
        result = Path(folder) / "result"
        _run_child(request, result, path)
        if kept is not None:
            result = result.replace(kept)
        yield from _loaded(result)


def _loaded(result: Path) -> Iterator[Any]:
    with result.open(encoding="utf-8", errors="surrogatepass") as lines:
        for line in lines:
            record = read_json(line.rstrip("\n"))
            if isinstance(record, dict) and "error" in record:
                where, _, what = record["error"].partition(": ")
                raise UserError(where, what)
            yield record


def _run_child(request: dict[str, Any], result: Path, path: Path) -> None:
    seconds = min(MOST_S, BASE_S + S_PER_MB * max(0, request["bytes"] // 1_000_000 - 1))
    asked = {
        **request,
        "path": str(path.absolute()),
        "shown": str(path),
        "result": str(result.absolute()),
        "seconds": seconds,
    }
    environment = {name: os.environ[name] for name in PASSED if name in os.environ} | SET
    slow = UserError(str(path), f"takes longer than {seconds} s to read", "give a smaller or simpler file")
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "ftvp_core.data.safely"],
            input=json.dumps(asked),
            cwd=result.parent,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise slow from None
    if child.returncode == 0:
        return
    log.warning("the reader of %s ended with %d: %s", path, child.returncode, child.stderr)
    if child.returncode == -signal.SIGXCPU:
        raise slow
    last = (child.stderr.strip().splitlines() or [""])[-1]
    if child.returncode < 0 or "MemoryError" in last:
        memory = f"{MEMORY_BYTES >> 20} MiB of memory"
        raise UserError(str(path), f"can't be read within {memory}", "give a smaller or simpler file")
    raise UserError(str(path), f"can't be read ({last[:200]})", "save it again, or in another format")


def main() -> None:
    """The child: a request on standard input, its result in the file that it names."""
    request = json.load(sys.stdin)
    _confine(request["seconds"])
    result = Path(request["result"])
    records = _table_records if request["kind"] == "table" else _knowledge_records
    try:
        with result.open("w", encoding="utf-8", errors="surrogatepass") as out:
            for record in records(request):
                out.write(to_json(record) + "\n")
    except UserError as error:
        result.write_text(json.dumps({"error": str(error).replace(request["path"], request["shown"])}))


def _confine(seconds: int) -> None:
    import resource

    with suppress(ValueError):  # macOS takes no limit of memory: there time alone is limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _leave_network()
    sys.addaudithook(_forbid)


def _leave_network() -> None:
    """Into a network of no interfaces, where the kernel lets us: library code isn't held by `_forbid`."""
    import ctypes

    libc = ctypes.CDLL(None)
    if hasattr(libc, "unshare") and libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(FORBIDDEN):
        raise PermissionError(f"a reader of uploads may not do this: {event}")


def _table_records(request: dict[str, Any]) -> Iterator[Any]:
    opened = open_table(Path(request["path"]), request["encoding"])
    keys = {"sha256": opened.sha256, "format": opened.format, "encoding": opened.encoding, "sheet": opened.sheet}
    yield {**keys, "columns": opened.columns}
    found: dict[str, None] = {}
    rows = opened.rows if opened.columns is not None else noting_keys(opened.rows, found)
    for row in _limited(rows, request):
        yield list(row.values()) if opened.columns is not None else [row]
    yield {"found": list(found)}


def _limited(rows: Iterable[Row], request: dict[str, Any]) -> Iterator[Row]:
    """The rows, up to the limits. Raises UserError."""
    path, held = request["path"], 0
    most = HELD_BYTES + HELD_PER_BYTE * request["bytes"]
    for number, row in enumerate(rows, start=1):
        if number > MOST_ROWS:
            raise UserError(path, f"found more than {MOST_ROWS:,} rows", "give a sample of them")
        for column, value in row.items():
            size = len(value) if isinstance(value, str) else len(as_text(value))
            if size > MOST_CELL_CHARACTERS:
                what = f"found a cell of {size:,} characters; at most {MOST_CELL_CHARACTERS:,} are read"
                raise UserError(f"{path}, row {number}, column {column[:40]}", what, "cut it")
            held += CELL_BYTES + size
        held += ROW_BYTES
        if held > most:
            what = f"holds more than {most // 1_000_000} MB of text once unpacked"
            raise UserError(f"{path}, row {number}", what, "give a sample of the rows")
        yield row


def _knowledge_records(request: dict[str, Any]) -> Iterator[Any]:
    from ftvp_core.data.knowledge import read_knowledge
    from ftvp_core.spec import KnowledgeSpec

    knowledge = read_knowledge(Path(request["path"]), KnowledgeSpec(**request["spec"]))
    held = sum(ROW_BYTES + len(passage.text) for passage in knowledge.passages)
    most = HELD_BYTES + HELD_PER_BYTE * request["bytes"]
    if held > most:
        raise UserError(request["path"], f"holds more than {most // 1_000_000} MB of text", "give fewer files")
    for passage in knowledge.passages:
        yield list(asdict(passage).values())
    yield {"sha256": knowledge.sha256, "empty": knowledge.empty}


if __name__ == "__main__":
    main()
