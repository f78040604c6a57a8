"""Uploads in a child process: the same result as without, limits that hold, no keys, no network, nothing twice."""

import json
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from openpyxl import Workbook

from ftvp_core.data.rows import read_table
from ftvp_core.data.safely import MOST_CELL_CHARACTERS, ROOT, _limited, read_knowledge_safely, read_table_safely
from ftvp_core.errors import UserError
from ftvp_core.spec import KnowledgeSpec
from tests.data import small_pdf

SPEC = KnowledgeSpec(path="x")
MIB = 1 << 20


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def zipped(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "%s">%s]>' % (
    b"ha" * 50,
    b"".join(b'<!ENTITY %c "%s">' % (98 + at, b"&%c;" % (97 + at) * 10) for at in range(9)),
)


def xlsx(folder: Path, sheet: bytes, prolog: bytes = b"") -> Path:
    Workbook().save(folder / "empty.xlsx")
    with zipfile.ZipFile(folder / "empty.xlsx") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return zipped(folder / "bomb.xlsx", {**parts, "xl/worksheets/sheet1.xml": prolog + SHEET % sheet})


def cell(text: bytes) -> bytes:
    return b'<c t="inlineStr"><is><t>%s</t></is></c>' % text


def xlsx_of_rows(folder: Path) -> Path:
    return xlsx(folder, (b"<row>" + cell(b"x" * 3000) * 4 + b"</row>") * 10_000)


def xlsx_of_one_cell(folder: Path) -> Path:
    return xlsx(folder, b"<row>%s</row><row>%s</row>" % (cell(b"text"), cell(b"x" * 40 * MIB)))


def xlsx_of_corners(folder: Path) -> Path:
    corners = b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    return xlsx(folder, corners)


def xlsx_of_entities(folder: Path) -> Path:
    return xlsx(folder, b"<row>%s</row><row>%s</row>" % (cell(b"text"), cell(b"&j;")), LAUGHS)


def parquet(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    path = folder / "bomb.parquet"
    pq.write_table(pa.table({"text": ["x" * 10_000] * 12_000}), path, compression="zstd")
    return path


def parquet_of_one_cell(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet as pq

    path = folder / "bomb.parquet"
    pq.write_table(pa.table({"text": ["x" * 40 * MIB]}), path, compression="zstd", use_dictionary=False)
    return path


def json_of_brackets(folder: Path) -> Path:
    return written(folder, "bomb.json", b"[" * 500_000 + b"]" * 500_000)


def json_of_objects(folder: Path) -> Path:
    return written(folder, "bomb.json", b'[{"a":' * 150_000)


TABLES = (
    xlsx_of_rows, xlsx_of_one_cell, xlsx_of_corners, xlsx_of_entities, parquet, parquet_of_one_cell,
    json_of_brackets, json_of_objects,
)  # fmt: skip


def pdf(folder: Path, objects: list[bytes]) -> Path:
    return written(folder, "bomb.pdf", small_pdf.of_objects(objects))


def pdf_of_a_stream(folder: Path) -> Path:
    packed = zlib.compress(zlib.compress(b"(x) Tj " * 30 * MIB, 1), 1)
    return pdf(
        folder,
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << >> >>",
            b"<< /Filter [/FlateDecode /FlateDecode] /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed),
        ],
    )


def pdf_of_brackets(folder: Path) -> Path:
    return pdf(folder, [b"<< /Type /Catalog /Pages " + b"[" * 400_000 + b"]" * 400_000 + b" >>"])


def pdf_of_pages_within_pages(folder: Path) -> Path:
    nested = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (at + 3) for at in range(5_000)]
    return pdf(folder, [b"<< /Type /Catalog /Pages 2 0 R >>", *nested])


def html(folder: Path) -> Path:
    return written(folder, "bomb.html", b"<div>" * 200_000)


def docx(folder: Path, document: bytes) -> Path:
    types = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    relations = b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    parts = {"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": document}
    return zipped(folder / "bomb.docx", parts)


WORD = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>%s</w:body></w:document>'


def docx_of_entities(folder: Path) -> Path:
    return docx(folder, LAUGHS + WORD % b"<w:p><w:r><w:t>&j;</w:t></w:r></w:p>")


def docx_of_text(folder: Path) -> Path:
    return docx(folder, WORD % (b"<w:p><w:r><w:t>%s</w:t></w:r></w:p>" % (b"x" * 40 * MIB)))


def docx_of_paragraphs(folder: Path) -> Path:
    return docx(folder, WORD % (b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 1_600_000))


DOCUMENTS = (
    pdf_of_a_stream, pdf_of_brackets, pdf_of_pages_within_pages, html, docx_of_entities, docx_of_text,
    docx_of_paragraphs,
)  # fmt: skip


def refused(read: Callable[[], object]) -> tuple[str, float, int]:
    """The one line, the seconds until it, and how many bytes more this process held meanwhile."""
    process = psutil.Process()
    before = most = process.memory_info().rss
    done = Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, process.memory_info().rss)

    watcher = Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        with pytest.raises(UserError) as raised:
            read()
    finally:
        done.set()
        watcher.join()
    return str(raised.value), time.monotonic() - began, most - before


@pytest.mark.parametrize("bomb", [*TABLES, *DOCUMENTS], ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_and_the_server_stays_up(tmp_path: Path, bomb: Callable[[Path], Path]) -> None:
    path = bomb(tmp_path)
    assert path.stat().st_size < 6 * MIB
    line, seconds, grown = refused(
        lambda: read_table_safely(path) if bomb in TABLES else read_knowledge_safely(path, SPEC)
    )
    assert line.startswith(str(path)) and "\n" not in line
    assert seconds < 40 and grown < 300 * MIB


def test_the_child_reads_what_the_reader_reads(tmp_path: Path) -> None:
    cells = ["NA", "007", "1e5", "12345678901234567890", "line\nbreak", "🙂", "שלום", "a\0b", " x ", "\u2028", ""]
    rows = [{"text": cell, "label": ["a", None, "b"]} for cell in cells] + [{"half": "\ud83d", "other": True}]
    for path in (
        written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)).encode()),
        written(tmp_path, "a.csv", "질문;라벨\n카드가 안 와요;배송\n".encode("cp949")),
        written(tmp_path, "header.csv", b"a,b\n"),
    ):
        assert read_table_safely(path) == read_table(path)
    assert read_table_safely(tmp_path / "a.csv", "euc-kr").encoding == "euc-kr"


def test_the_childs_refusal_is_the_readers(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"a,b\n1,2\n1,2,3\n")
    with pytest.raises(UserError) as direct:
        read_table(path)
    with pytest.raises(UserError) as raised:
        read_table_safely(path)
    assert str(raised.value) == str(direct.value)
    with pytest.raises(UserError, match=r"none\.csv.*No such file"):
        read_table_safely(tmp_path / "none.csv")


def test_a_cell_and_a_file_beyond_the_limits_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", b"text,label\nfine,x\n%s,x\n" % (b"x" * (MOST_CELL_CHARACTERS + 1)))
    with pytest.raises(UserError, match=r"row 2, column text.*2,000,001 characters"):
        read_table_safely(path)
    many = ({"text": "x"} for _ in range(1_000_001))
    with pytest.raises(UserError, match="1,000,000 rows"):
        list(_limited(many, {"path": "a.csv", "bytes": 100_000_000}))


def test_what_is_kept_is_read_instead_and_whole_or_not_at_all(tmp_path: Path) -> None:
    path, kept = written(tmp_path, "a.csv", b"text,label\nx,y\n"), tmp_path / ".kept"
    first = read_table_safely(path, kept=kept)
    path.write_bytes(b"text,label\nchanged,y\n")
    assert read_table_safely(path, kept=kept) == first
    assert sorted(one.name for one in tmp_path.iterdir()) == [".kept", "a.csv"]
    broken, kept_refusal = written(tmp_path, "broken.csv", b'a,b\n1,"2\n'), tmp_path / ".refused"
    lines = set()
    for _ in range(2):
        with pytest.raises(UserError) as raised:
            read_table_safely(broken, kept=kept_refusal)
        lines.add(str(raised.value))
    assert len(lines) == 1 and kept_refusal.exists()


def test_the_child_has_no_keys_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    given: dict[str, dict[str, str]] = {}
    run = subprocess.run

    def watched(*arguments: object, **keys: object) -> object:
        given["env"] = keys["env"]  # type: ignore[assignment]
        return run(*arguments, **keys)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", watched)
    read_table_safely(written(tmp_path, "a.csv", b"a\nx\n"))
    assert "secret" not in given["env"].values() and not any(name.endswith("_KEY") for name in given["env"])
    for tried in ("import socket; socket.create_connection(('127.0.0.1', 9))", "import os; os.system('true')"):
        code = f"from ftvp_core.data.safely import _confine; _confine(9); {tried}"
        ended = run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "PermissionError" in ended.stderr


def test_knowledge_is_the_same_through_the_child(tmp_path: Path) -> None:
    from ftvp_core.data.knowledge import read_knowledge

    (tmp_path / "a.md").write_text("# Grüße\n카드는 닷새 안에 도착합니다.\n## بطاقة\nتصل البطاقة.")
    (tmp_path / "empty.txt").write_text(" ")
    assert read_knowledge_safely(tmp_path, SPEC) == read_knowledge(tmp_path, SPEC)
    assert read_knowledge_safely(tmp_path, SPEC).empty == ("empty.txt",)


def test_numbers_and_plain_words_stay_what_they_were_written_as(tmp_path: Path) -> None:
    """Whether a schema's 5 was a number is lost in plain JSON; a reader in another process gives the same rows."""
    (tmp_path / "tests.yaml").write_text(
        "- vars: {q: '5'}\n  assert:\n    - {type: is-json, value: {type: object, maxProperties: 2}}\n",
        encoding="utf-8",
    )
    (tmp_path / "rows.json").write_text('[{"input": "x", "ideal": 1e5}]', encoding="utf-8")
    for name in ("tests.yaml", "rows.json"):
        direct, safe = read_table(tmp_path / name), read_table_safely(tmp_path / name)
        assert safe == direct
        assert [_bare(row) for row in safe.rows] == [_bare(row) for row in direct.rows]


def _bare(value: object) -> object:
    """The value with the kind of each of its texts."""
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items()}
    return [_bare(one) for one in value] if isinstance(value, list) else (type(value).__name__, value)
