"""Workbooks and Parquet: every cell as it looks, in rows like any other table's."""

import datetime
import os
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xlwt
from openpyxl import Workbook
from pyarrow import parquet
from python_calamine import load_workbook

from ftvp_core.data.rows import as_text, read_table
from ftvp_core.errors import UserError

DATA = os.environ.get("FTVP_TEST_DATA")


def workbook(path: Path, *rows: list[Any], sheet: str = "Sheet") -> Path:
    book = Workbook()
    assert book.active is not None
    if sheet != "Sheet":
        book.create_sheet(sheet)
    for row in rows:
        book[sheet].append(row)
    book.save(path)
    return path


def test_a_workbooks_cells_are_what_they_look_like(tmp_path: Path) -> None:
    cells = {
        "007": "007", "1e5": "1e5", "NA": "NA", "카드 🙂 بطاقة": "카드 🙂 بطاقة", "a\nb": "a\nb", " x ": " x ",
        7: "7", 7.5: "7.5", -0.25: "-0.25", 1234567890123: "1234567890123", True: "true", False: "false",
        datetime.date(2024, 1, 31): "2024-01-31", datetime.datetime.fromisoformat("2024-01-31T09:05:00"): "2024-01-31T09:05:00",
        datetime.time(9, 5): "09:05:00", datetime.timedelta(hours=30): "30:00:00",
    }  # fmt: skip
    path = workbook(tmp_path / "a.xlsx", ["n", "cell"], *([str(at), cell] for at, cell in enumerate(cells)))
    table = read_table(path)
    assert [row["cell"] for row in table.rows] == list(cells.values())
    assert (table.format, table.columns, table.sheet) == ("xlsx", ("n", "cell"), "Sheet")


def test_an_error_cell_is_read_as_what_it_shows(tmp_path: Path) -> None:
    """Also in a table that begins lower down, on a sheet whose name needs escaping, and beyond the first megabyte."""
    book = Workbook()
    assert book.active is not None
    sheet = book.create_sheet("Q & A")
    rows: list[list[str]] = [
        ["q", "a"],
        ["one", "#REF!"],
        *([f"row {at} {'x' * 200}", "yes"] for at in range(6000)),
        ["last", "#N/A"],
    ]
    for at, row in enumerate(rows, start=3):
        for column, value in zip("BC", row, strict=True):
            sheet[f"{column}{at}"] = value
            if value.startswith("#"):
                sheet[f"{column}{at}"].data_type = "e"
    book.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx")
    assert table.sheet == "Q & A" and len(table.rows) == 6002
    assert [(row["q"], row["a"]) for row in table.rows if row["a"] != "yes"] == [("one", "#REF!"), ("last", "#N/A")]


def test_an_error_cell_of_an_xls_is_read_as_what_it_shows(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Q & A, 질문")
    rows: list[list[str | int]] = [["q", "a"], ["one", 0x17], ["two", "yes"], ["three", 0x2A], ["four", 0x07]]
    for at, row in enumerate(rows, start=3):
        for column, value in enumerate(row, start=1):
            if isinstance(value, int):  # [MS-XLS] 2.5.10, BErr
                sheet.row(at).set_cell_error(column, value)
            else:
                sheet.write(at, column, value)
    book.save(str(tmp_path / "a.xls"))
    assert [row["a"] for row in read_table(tmp_path / "a.xls").rows] == ["#REF!", "yes", "#N/A", "#DIV/0!"]


def test_a_formulas_error_is_found_and_the_reader_alone_would_hide_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ["q", "a"], ["one", "yes"])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    formula = b'<c r="B2" s="1" t="e"><f>1/0</f><v>#DIV/0!</v></c>'
    sheet = parts["xl/worksheets/sheet1.xml"]
    parts["xl/worksheets/sheet1.xml"] = re.sub(rb'<c r="B2".*?</c>', formula, sheet)
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    assert load_workbook(str(path)).get_sheet_by_index(0).to_python()[1] == ["one", ""]
    assert read_table(path).rows == ({"q": "one", "a": "#DIV/0!"},)


def test_the_first_sheet_that_holds_rows_is_read_and_named(tmp_path: Path) -> None:
    table = read_table(workbook(tmp_path / "a.csv", ["q", "a"], [], ["x", None], [None, "y"], sheet="데이터"))
    assert (table.sheet, table.rows) == ("데이터", ({"q": "x", "a": ""}, {"q": "", "a": "y"}))


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
@pytest.mark.parametrize(
    ("name", "sheet"), [("test.xls", "testfixed_converted.csv"), ("test.xlsx", "Sheet1"), ("sheets.xlsx", "data")]
)
def test_csvkits_workbooks(name: str, sheet: str) -> None:
    table = read_table(Path(str(DATA)) / "upload-formats" / "csvkit" / name)
    assert (table.sheet, len(table.rows)) == (sheet, 5)
    first = ["Chicago Reader", "1971-01-01", "40", "true", "1", "1971-01-01T04:14:00", "", ""]
    assert list(table.rows[0].values()) == first


def test_parquet_keeps_text_numbers_and_nested_values(tmp_path: Path) -> None:
    row = {
        "text": "007", "none": None, "number": 7, "real": 1.5, "money": Decimal("1.10"), "yes": True,
        "day": datetime.date(2024, 1, 31), "messages": [{"role": "user", "content": "카드"}], "bytes": "é".encode(),
    }  # fmt: skip
    parquet.write_table(pa.Table.from_pylist([row, row]), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert (table.format, table.columns, len(table.rows)) == ("parquet", tuple(row), 2)
    assert [as_text(value) for value in table.rows[0].values()] == [
        "007", "", "7", "1.5", "1.10", "true", "2024-01-31", '[{"role": "user", "content": "카드"}]', "é",
    ]  # fmt: skip


def damaged(folder: Path) -> dict[str, bytes]:
    whole = workbook(folder / "whole.xlsx", ["a"], ["x"]).read_bytes()
    parquet.write_table(pa.table({"a": ["x"] * 100}), folder / "whole.parquet")
    columns = (folder / "whole.parquet").read_bytes()
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "text")
    return {
        "cut off": whole[: len(whole) // 2],
        "cut parquet": columns[: len(columns) // 2],
        "an archive": (folder / "other.zip").read_bytes(),
        "password": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
        "PDF": b"%PDF-1.7\n",
        "image": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "nothing": workbook(folder / "nothing.xlsx").read_bytes(),
    }


SAID = {
    "cut off": "workbook", "cut parquet": "Parquet", "an archive": "workbook", "password": "password", "PDF": "PDF",
    "image": "image", "gzip": "gzip", "nothing": "no sheet",
}  # fmt: skip


@pytest.mark.parametrize("fault", SAID)
def test_what_cannot_be_read_says_what_it_is(tmp_path: Path, fault: str) -> None:
    (tmp_path / "eval.csv").write_bytes(damaged(tmp_path)[fault])
    with pytest.raises(UserError) as raised:
        read_table(tmp_path / "eval.csv")
    assert SAID[fault] in str(raised.value) and "eval.csv" in str(raised.value) and "\n" not in str(raised.value)
