"""Files to passages: text, Markdown, documents and rows, cut where sentences end, each with its headings and its source.

Their size is counted as `tokens.estimated` does: the embedder's tokenizer isn't any model's.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ftvp_core.data.documents import kind_of, read_document
from ftvp_core.data.encodings import decode
from ftvp_core.data.formats.nested import contexts
from ftvp_core.data.rows import Table, as_text, read_table, refuse_half_characters
from ftvp_core.errors import UserError
from ftvp_core.spec import KnowledgeSpec
from ftvp_core.tokens import BYTES_PER_TOKEN, estimated
from ftvp_core.types import Knowledge, Passage

TEXTS = {".txt", ".md", ".markdown"}
ROWS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".parquet"}
DOCUMENTS = {".html", ".htm", ".pdf", ".docx"}
_FRONT_MATTER = re.compile(r"\A---\r?\n.*?\r?\n---\r?\n", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
#: Where a text may be cut: after a sentence's end (Latin, CJK, Arabic) or a line.
_SENTENCE = re.compile(r"[^\n]*?[.!?。！？؟]+[\"'”’)\]]*(?:\s+|$)|[^\n]+(?:\n+|$)|\n+")


def read_knowledge(path: Path, spec: KnowledgeSpec) -> Knowledge:
    """Read a file, or all readable files below a folder. Raises UserError."""
    if not path.exists():
        raise UserError(str(path), "there is no such file or folder", "check knowledge.path")
    files = [path] if path.is_file() else sorted(_files(path))
    readable = [file for file in files if file.suffix.lower() in TEXTS | ROWS | DOCUMENTS]
    if not readable:
        found = ", ".join(sorted({file.suffix or file.name for file in files})) or "no file"
        raise UserError(str(path), f"found {found}; expected text, Markdown, HTML, PDF, DOCX or a table")
    passages: list[Passage] = []
    ids: set[str] = set()
    empty = []
    for file in readable:
        source = file.name if path.is_file() else file.relative_to(path).as_posix()
        found_here = list(_passages(file, source, spec))
        passages += [passage for passage in found_here if passage.id not in ids]  # one may stand in two SQuAD files
        ids.update(passage.id for passage in found_here)
        if not found_here:
            empty.append(source)
    if not passages:
        raise UserError(
            str(path), f"holds no text: {', '.join(empty)[:200]}", "recognise the text of scanned pages first"
        )
    content = "\x1f".join(f"{passage.id}\x1e{passage.text}" for passage in passages)
    return Knowledge(path.name, hashlib.sha256(content.encode()).hexdigest(), tuple(passages), tuple(empty))


def to_json(knowledge: Knowledge) -> str:
    """One text that `from_json` reads back: how the store keeps it. Which sources were empty isn't in it."""
    return json.dumps({key: value for key, value in asdict(knowledge).items() if key != "empty"})


def from_json(text: str) -> Knowledge:
    keys = json.loads(text)
    return Knowledge(keys["name"], keys["sha256"], tuple(Passage(**passage) for passage in keys["passages"]))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _passages(file: Path, source: str, spec: KnowledgeSpec) -> Iterator[Passage]:
    """A file's passages: `source#1`, `source#2` …; `source#p3` or `source#p3-1` on a PDF's third page."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(str(file), f"can't be read ({error.strerror})") from None
    suffix = file.suffix.lower()
    kind = kind_of(data, suffix)
    if kind == ".pdf":
        for page, text in enumerate(read_document(data, kind, str(file)), start=1):
            texts = list(_chunks(text, spec))
            for at, piece in enumerate(texts, start=1):
                yield Passage(f"{source}#p{page}" + (f"-{at}" if len(texts) > 1 else ""), source, piece)
        return
    if kind is not None:
        yield from _numbered(source, list(_chunks(read_document(data, kind, str(file))[0], spec)))
    elif suffix in ROWS:
        yield from _of_table(file, source, spec)
    else:
        yield from _numbered(source, list(_chunks(_text(data, file), spec)))


def _text(data: bytes, file: Path) -> str:
    text, _ = decode(data, str(file), None)
    return _FRONT_MATTER.sub("", text) if file.suffix.lower() != ".txt" else text


def _of_table(file: Path, source: str, spec: KnowledgeSpec) -> Iterator[Passage]:
    """A passage a row; or SQuAD's passages, under sources of their own, as its questions name them."""
    table = read_table(file)
    refuse_half_characters(table)
    passages = contexts(table)
    for name, passage in passages.items():
        yield from _numbered(name, list(_chunks(passage, spec)))
    if not passages:
        yield from _numbered(source, list(_rows(table)))


def _numbered(source: str, texts: Sequence[str]) -> Iterator[Passage]:
    for at, text in enumerate(texts, start=1):
        yield Passage(source if len(texts) == 1 else f"{source}#{at}", source, text)


def _rows(table: Table) -> Iterator[str]:
    """One passage a row: its columns, named."""
    for row in table.rows:
        yield "\n".join(f"{column}: {as_text(value)}" for column, value in row.items())


def _chunks(text: str, spec: KnowledgeSpec) -> Iterator[str]:
    """Pieces of at most `chunk_tokens`, each beginning with the headings it stands under."""
    for headings, body in _sections(text):
        head = "\n".join(headings)
        room = max(spec.chunk_tokens - estimated(head), spec.chunk_tokens // 2)
        pieces = _pieces(body, room)
        start = 0
        while start < len(pieces):
            end, size = start, 0
            while end < len(pieces) and (end == start or size + estimated(pieces[end]) <= room):
                size += estimated(pieces[end])
                end += 1
            yield "\n".join(part for part in (head, "".join(pieces[start:end]).strip()) if part)
            start = end if end == len(pieces) else max(start + 1, end - _overlapping(pieces[start:end], spec.overlap))


def _sections(text: str) -> Iterator[tuple[list[str], str]]:
    """Each text between headings, with the headings above it. `#` inside fenced code is no heading."""
    headings: dict[int, str] = {}
    lines: list[str] = []
    fenced = False
    for line in text.splitlines(keepends=True):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        if "".join(lines).strip():
            yield list(headings.values()), "".join(lines)
        lines = []
        level = len(heading[1])
        headings = {at: name for at, name in headings.items() if at < level} | {level: heading[2]}
    if "".join(lines).strip():
        yield list(headings.values()), "".join(lines)


def _pieces(text: str, room: int) -> list[str]:
    """Sentences and lines; one that is larger than the room is cut at its spaces, or anywhere if it has none."""
    pieces = []
    for sentence in _SENTENCE.findall(text):
        rest = sentence
        while estimated(rest) > room:
            cut = _fitting(rest, room)
            pieces.append(rest[:cut])
            rest = rest[cut:]
        if rest:
            pieces.append(rest)
    return pieces


def _fitting(text: str, room: int) -> int:
    """The length of the longest beginning that fits, cut after a space where there is one in its second half."""
    most = len(text.encode()[: room * BYTES_PER_TOKEN].decode(errors="ignore"))
    space = text.rfind(" ", most // 2, most)
    return max(1, space + 1 if space > 0 else most)


def _overlapping(pieces: Sequence[str], overlap: int) -> int:
    """How many of the last pieces fit into the overlap."""
    count = size = 0
    for piece in reversed(pieces):
        size += estimated(piece)
        if size > overlap:
            break
        count += 1
    return count
