"""Files as they are: every cell keeps its text, every encoding is found, every fault is one line with its place."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftvp_core.data.rows import Table, as_text, read_table
from ftvp_core.errors import UserError

DATA = os.environ.get("FTVP_TEST_DATA")
CELLS = (
    "NA",
    "null",
    "007",
    "1e5",
    "12345678901234567890",
    "line\nbreak",
    'a "quote"',
    "🙂",
    "שלום",
    "a\x00b",
    " x ",
    "-1",
    "",
)


def read(folder: Path, name: str, content: str | bytes, encoding: str | None = None) -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, encoding)


def test_cells_keep_their_text_in_csv_and_jsonl(tmp_path: Path) -> None:
    quoted = [cell.replace('"', '""') for cell in CELLS]
    table = read(tmp_path, "a.csv", "n,cell\n" + "".join(f'{at},"{cell}"\n' for at, cell in enumerate(quoted)))
    assert tuple(row["cell"] for row in table.rows) == CELLS
    table = read(tmp_path, "a.jsonl", "\n".join(json.dumps({"cell": cell}) for cell in CELLS))
    assert tuple(row["cell"] for row in table.rows) == CELLS


def test_numbers_in_json_keep_their_spelling(tmp_path: Path) -> None:
    table = read(tmp_path, "a.json", '[{"a": 1e5, "b": 12345678901234567890, "c": 1.10, "d": true, "e": null}]')
    assert [as_text(value) for value in table.rows[0].values()] == ["1e5", "12345678901234567890", "1.10", "true", ""]


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("a.csv", "q,a\nx,y\n", "csv"),
        ("a.csv", "q;a\nx,1;y\n", "semicolon"),
        ("a.tsv", "q\ta\nx\ty\n", "tsv"),
        ("a.txt", "q|a\nx|y\n", "pipe"),
        ("a.jsonl", '{"q": "x", "a": "y"}\n\n{"q": "z", "a": "w"}\n', "jsonl"),
        ("a.json", '{"q": "x", "a": "y"}\n{"q": "z", "a": "w"}\n', "jsonl"),
        ("a.json", '[{"q": "x", "a": "y"}]', "json"),
        ("a.json", '{"version": 1, "rows": [{"q": "x", "a": "y"}]}', "json"),
    ],
)
def test_formats_are_recognised_by_what_is_inside(tmp_path: Path, name: str, content: str, format_: str) -> None:
    table = read(tmp_path, name, content)
    assert (table.format, table.columns) == (format_, ("q", "a"))
    assert str(table.rows[0]["q"]).startswith("x")


TEXTS = {
    "utf-8": "카드, Grüße, بطاقة",
    "utf-8-sig": "카드, Grüße, بطاقة",
    "utf-16": "카드, Grüße, بطاقة",
    "cp949": "카드가 아직 안 왔어요",
    "latin-1": "Grüße aus Köln, schöne Straße",
    "cp932": "カードはまだ届いていません。いつ届きますか",
    "cp1256": "أين بطاقتي التي طلبتها الأسبوع الماضي",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_is_found_and_can_be_given(tmp_path: Path, encoding: str) -> None:
    content = f'question,answer\n"{TEXTS[encoding]}",yes\n'.encode(encoding)
    assert read(tmp_path, "a.csv", content).rows[0]["question"] == TEXTS[encoding]
    given = read(tmp_path, "a.csv", content, encoding)
    assert (given.rows[0]["question"], given.encoding) == (TEXTS[encoding], encoding)


@pytest.mark.parametrize(
    ("name", "content", "encoding", "said"),
    [
        ("a.csv", "a,b\n1,2\n1,2,3\n", None, ("row 2", "3 cells", "expected 2")),
        ("a.csv", "a,b\n1\n", None, ("row 1", "1 cells", "expected 2")),
        ("a.csv", 'a,b\n1,"2\n', None, ("line 2", "CSV")),
        ("a.csv", "", None, ("empty",)),
        ("a.csv", "a,a\n1,2\n", None, ("'a'", "twice")),
        ("a.jsonl", '{"a": 1}\n{"a": \n', None, ("line 2", "JSON")),
        ("a.jsonl", '{"a": 1}\n[1]\n', None, ("line 2", "object")),
        ("a.json", "[1, 2]", None, ("row 1", "object")),
        ("a.csv", "a\nü\n".encode("latin-1"), "utf-8", ("utf-8", "byte 2")),
        ("a.csv", b"a\nx\n", "klingon", ("klingon",)),
    ],
)
def test_each_fault_is_one_line_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, encoding: str | None, said: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, name, content, encoding)
    line = str(raised.value)
    assert name in line and "\n" not in line
    assert all(part in line for part in said), line


@pytest.mark.parametrize(
    ("content", "columns", "cells"),
    [
        ('text,label\n"a; b",x\n"c; d",y\n', ("text", "label"), ("a; b", "x")),
        ('"first, second";b\n"1,5";y\n', ("first, second", "b"), ("1,5", "y")),
        ("price;name\n1,50;x\n2,50;y\n", ("price", "name"), ("1,50", "x")),
        ("question\nwell, is it; really | so?\nyes, it is\n", ("question",), ("well, is it; really | so?",)),
        ('"a\nb, c"\tq\nx\ty\n', ("a\nb, c", "q"), ("x", "y")),
        ('\n\ntext|note\n"x\n| y"|z, z, z\n', ("text", "note"), ("x\n| y", "z, z, z")),
        ("[id],text\n1,x\n", ("[id]", "text"), ("1", "x")),
        ("text,label,,\nx,y,,\n", ("text", "label"), ("x", "y")),
        ("a,b\rx,y\r", ("a", "b"), ("x", "y")),
    ],
)
def test_the_separator_is_what_the_rows_agree_on(
    tmp_path: Path, content: str, columns: tuple[str, ...], cells: tuple[str, ...]
) -> None:
    table = read(tmp_path, "a.csv", content)
    assert (table.columns, tuple(table.rows[0].values())) == (columns, cells)


def test_objects_over_several_lines_one_after_another_are_rows(tmp_path: Path) -> None:
    rows = [{"q": "x", "a": ["y"]}, {"q": "z\u2028", "n": float("nan")}]
    table = read(tmp_path, "a.jsonl", "\n".join(json.dumps(row, indent=2) for row in rows))
    assert (table.columns, table.rows) == (("q", "a", "n"), ({"q": "x", "a": ["y"]}, {"q": "z\u2028", "n": "NaN"}))


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TABLE = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=8))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(table=TABLE, separator=st.sampled_from(",;|\t"))
def test_any_cells_are_read_back_from_csv(tmp_path: Path, table: list[list[str]], separator: str) -> None:
    columns = [f"column {at}" for at in range(len(table[0]) if table else 2)]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([columns, *table])
    found = read(tmp_path, "a.csv", written.getvalue())
    assert (found.columns, [list(row.values()) for row in found.rows]) == (tuple(columns), table)


@FEW
@given(rows=st.lists(st.dictionaries(CELL, CELL, min_size=1, max_size=3), min_size=1, max_size=8))
def test_any_cells_are_read_back_from_jsonl(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    for escaped in (True, False):
        content = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows)
        assert list(read(tmp_path, "a.jsonl", content).rows) == rows


BEGINNINGS = (
    b"",
    b"PK\x03\x04",
    b"PAR1",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"[{",
)


@FEW
@given(
    beginning=st.sampled_from(BEGINNINGS),
    content=st.binary(max_size=200),
    name=st.sampled_from(("a.csv", "a.json", "a.jsonl", "a.xlsx")),
)
def test_any_bytes_are_a_table_or_one_line(tmp_path: Path, beginning: bytes, content: bytes, name: str) -> None:
    try:
        table = read(tmp_path, name, beginning + content)
    except UserError as error:
        assert name in str(error) and "\n" not in str(error)
    else:
        assert all(set(row) <= set(table.columns) for row in table.rows)


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
@pytest.mark.parametrize(
    ("name", "format_", "encoding", "rows"),
    [
        ("csvkit/test_utf8_bom.csv", "csv", "utf-8-sig", 2),
        ("csvkit/test_utf16_little.csv", "csv", "utf-16", 2),
        ("csvkit/test_latin1.csv", "csv", "cp1252", 2),
        ("csvkit/dummy.tsv", "tsv", "utf-8", 1),
        ("messytables/example.tsv", "tsv", "utf-8", 140),
        ("llama-factory/alpaca_en_demo.json", "json", "utf-8", 999),
        ("inspect/popularity.jsonl", "jsonl", "utf-8", 100),
        ("promptfoo/simple-csv-tests.csv", "csv", "utf-8", 4),
    ],
)
def test_files_that_others_wrote(name: str, format_: str, encoding: str, rows: int) -> None:
    table = read_table(Path(str(DATA)) / "upload-formats" / name)
    assert (table.format, table.encoding, len(table.rows)) == (format_, encoding, rows)


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
@pytest.mark.parametrize(
    "name",
    [
        "comma_in_quotes",
        "empty",
        "empty_crlf",
        "escaped_quotes",
        "json",
        "newlines",
        "newlines_crlf",
        "quotes_and_newlines",
        "simple",
        "simple_crlf",
        "utf8",
    ],
)
def test_csv_spectrum(name: str) -> None:
    """Max Ogden's collection: each CSV has its expected reading beside it."""
    folder = Path(str(DATA)) / "upload-formats" / "csv-spectrum"
    table = read_table(folder / "csvs" / f"{name}.csv")
    expected = json.loads((folder / "json" / f"{name}.json").read_text(encoding="utf-8"))
    assert [{key: value.replace("\r\n", "\n") for key, value in row.items()} for row in table.rows] == [
        {key: value.replace("\r\n", "\n") for key, value in row.items()} for row in expected
    ]


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
def test_banking77_is_read_whole() -> None:
    table = read_table(Path(str(DATA)) / "banking77" / "test.csv")
    assert (len(table.rows), table.columns, table.format) == (3080, ("text", "category"), "csv")
    assert len({row["category"] for row in table.rows}) == 77
