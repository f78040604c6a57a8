"""Cells of a workbook that hold an error, `#N/A` say: its reader shows them as empty."""

import io
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: What a spreadsheet shows where a formula came to nothing (ECMA-376, part 1, 18.17.3, and Excel's later ones).
ERRORS = frozenset({
    "#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#GETTING_DATA", "#SPILL!", "#CALC!", "#FIELD!",
    "#BLOCKED!", "#CONNECT!", "#BUSY!", "#UNKNOWN!", "#EXTERNAL!", "#PYTHON!",
})  # fmt: skip
_CHUNK = 1 << 20
#: A cell of the type `e`: its place, then its value. A formula may stand between them.
_CELL = re.compile(
    rb"""<(?:\w+:)?c\b([^>]*\bt=["']e["'][^>]*)>(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]*)</""", re.DOTALL
)
_PLACE = re.compile(rb"""\br=["']([A-Z]{1,3})(\d{1,7})["']""")
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def error_cells(data: bytes, sheet: str) -> Mapping[tuple[int, int], str]:
    """By (row, column) from 0, what each error cell of the sheet shows. Nothing where the parts aren't as usual."""
    return _of_xlsx(data, sheet) if data.startswith(b"PK") else _of_xls(data, sheet)


def _of_xls(data: bytes, sheet: str) -> Mapping[tuple[int, int], str]:
    import xlrd

    try:
        with xlrd.open_workbook(file_contents=data, logfile=io.StringIO(), on_demand=True) as book:
            cells = book.sheet_by_name(sheet)
            return {
                (row, column): xlrd.error_text_from_code.get(cells.cell_value(row, column), "#UNKNOWN!")
                for row in range(cells.nrows)
                for column, kind in enumerate(cells.row_types(row))
                if kind == xlrd.XL_CELL_ERROR
            }
    except (
        xlrd.XLRDError,
        xlrd.compdoc.CompDocError,
        struct.error,
        LookupError,
        ValueError,
        TypeError,
        AssertionError,
    ):
        return {}


def _of_xlsx(data: bytes, sheet: str) -> Mapping[tuple[int, int], str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            part = _part(archive, sheet)
            return dict(_found(archive, part)) if part else {}
    except (zipfile.BadZipFile, KeyError, SyntaxError, OSError, ValueError, NotImplementedError):
        return {}  # what is damaged is said where the cells are read


def _part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The archive's name of the sheet's XML."""
    workbook = _parsed(archive, "xl/workbook.xml")
    id_ = next((one.get(_ID) for one in workbook.iterfind(".//{*}sheet") if one.get("name") == sheet), None)
    for one in _parsed(archive, "xl/_rels/workbook.xml.rels"):
        if id_ is not None and one.get("Id") == id_:
            target = one.get("Target", "")
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    return None


def _parsed(archive: zipfile.ZipFile, part: str) -> "Element":
    """In the reader's own process, within its limits; expat itself ends where entities grow without end."""
    from xml.etree import ElementTree

    return ElementTree.fromstring(archive.read(part))  # noqa: S314


def _found(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Read in pieces: a sheet unpacks to many times its size."""
    rest = b""
    with archive.open(part) as stream:
        while chunk := stream.read(_CHUNK):
            rest += chunk
            end = rest.rfind(b"<row")  # what follows may go on in the next piece
            whole, rest = (rest[:end], rest[end:]) if end > 0 else (rest, b"")
            yield from _errors(whole)
    yield from _errors(rest)


def _errors(xml: bytes) -> Iterator[tuple[tuple[int, int], str]]:
    for match in _CELL.finditer(xml):
        if place := _PLACE.search(match[1]):
            column = 0
            for letter in place[1]:
                column = 26 * column + letter - 64
            yield (int(place[2]) - 1, column - 1), match[2].decode("utf-8", "replace")
