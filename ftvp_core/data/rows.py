"""A file's bytes, read as rows of text. Nothing is guessed from a cell's looks: `NA`, `007`, `1e5` stay."""

import csv
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ftvp_core.data.encodings import encoding_of
from ftvp_core.data.packed import pack
from ftvp_core.errors import UserError

#: One row: a cell is text, or what JSON holds (a list of references, say); numbers keep their spelling.
Row = dict[str, Any]

#: Lists that are one row's own, not a file's rows.
PARTS_OF_A_ROW = {"messages", "conversations", "conversation", "input", "prompt", "completion", "assert", "assertions"}
#: A test configuration's keys beside its `tests`: with them the object says more than its rows do.
BESIDE_TESTS = {"defaultTest", "scenarios"}

SEPARATORS = {",": "csv", "\t": "tsv", ";": "semicolon", "|": "pipe"}
#: For a file of one column: its cells may hold any separator.
NO_SEPARATOR = "\x1f"
JSON_SUFFIXES, YAML_SUFFIXES = {".json", ".jsonl", ".ndjson"}, {".yaml", ".yml"}
#: The separator is found in the first rows alone.
SAMPLE_CHARACTERS = 65536
SAMPLE_ROWS = 20
#: What a file begins with that is no table, and what it is then.
OTHERS = (
    (b"%PDF", "a PDF, which is no table", "upload it as knowledge"),
    (b"\x89PNG", "an image", "give a table: CSV, JSON, XLSX or Parquet"),
    (b"\xff\xd8\xff", "an image", "give a table: CSV, JSON, XLSX or Parquet"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it first"),
    (b"BZh", "compressed by bzip2", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it first"),
)

_BEGINS_JSON = re.compile(r'\s*(\{\s*["}]|\[\s*\{)')
_SPACE = re.compile(r"[ \t\n\r]*")

csv.field_size_limit(2**31 - 1)


class Bare(str):
    """A scalar that its file wrote without quotes (a JSON number, YAML's plain words): its spelling, as text."""

    __slots__ = ()


#: The one key of an object that stands for a `Bare`.
BARE = "\0bare"

_DECODER = json.JSONDecoder(parse_int=Bare, parse_float=Bare, parse_constant=Bare)


@dataclass(frozen=True, slots=True)
class Table:
    """A file as it was read. `columns` in the file's order; `sheet` is the workbook's that holds the rows."""

    path: str
    sha256: str
    format: str
    encoding: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A table whose rows are read one at a time. `columns` is None for JSON: its rows bring their own."""

    sha256: str
    format: str
    encoding: str
    columns: tuple[str, ...] | None
    rows: Iterable[Row]
    sheet: str | None = None


def read_table(path: Path, encoding: str | None = None) -> Table:
    """Read CSV (any separator), JSON, JSONL, YAML, XLSX, XLS or Parquet. Raises UserError: file, row, what to do."""
    opened = open_table(path, encoding)
    found: dict[str, None] = {}
    try:
        rows = pack_rows(opened.rows if opened.columns is not None else noting_keys(opened.rows, found))
    except RecursionError:
        raise UserError(str(path), "a row holds too many brackets inside each other", "mend or remove it") from None
    columns = opened.columns if opened.columns is not None else tuple(found)
    return Table(str(path), opened.sha256, opened.format, opened.encoding, columns, rows, opened.sheet)


def open_table(path: Path, encoding: str | None = None) -> Opened:
    """The same, read as its rows are taken: what can be wrong in a row is raised there. Raises UserError."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: a null character in the path
        raise UserError(str(path), f"can't be read ({getattr(error, 'strerror', error)})", "check the path") from None
    where, sha256 = str(path), hashlib.sha256(data).hexdigest()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return _open_workbook(data, where, sha256)
    if data.startswith(b"PAR1"):
        return _open_parquet(data, where, sha256)
    for beginning, what, remedy in OTHERS:
        if data.startswith(beginning):
            raise UserError(where, f"is {what}", remedy)
    encoding = encoding_of(data, where, encoding)
    if path.suffix.lower() in YAML_SUFFIXES:
        loaded = _load_yaml(_text(data, encoding).read(), where)
        return Opened(sha256, "yaml", encoding, None, _as_rows(loaded, where))
    if path.suffix.lower() in JSON_SUFFIXES or _BEGINS_JSON.match(_text(data, encoding).read(SAMPLE_CHARACTERS)):
        format_, objects = _read_json(data, encoding, where)
        return Opened(sha256, format_, encoding, None, objects)
    separator = _separator(data, encoding)
    columns, rows = _read_separated(_text(data, encoding), separator, where)
    return Opened(sha256, SEPARATORS.get(separator, "csv"), encoding, columns, rows)


def to_json(value: Any) -> str:
    """Cells as JSON. It has no sign for a scalar that was written without quotes: it goes as an object of one key."""
    return json.dumps(_marked(value), ensure_ascii=False)


def _marked(value: Any) -> Any:
    if isinstance(value, Bare):
        return {BARE: str(value)}
    if isinstance(value, dict):
        return {key: _marked(one) for key, one in value.items()}
    return [_marked(one) for one in value] if isinstance(value, list) else value


def _unmarked(value: dict[str, Any]) -> Any:
    return Bare(value[BARE]) if value.keys() == {BARE} else value


#: Reads what `to_json` wrote.
read_json = json.JSONDecoder(object_hook=_unmarked).decode


def pack_rows(rows: Iterable[Row]) -> Sequence[Row]:
    return pack(rows, to_json, read_json)


def noting_keys(rows: Iterable[Row], found: dict[str, None]) -> Iterator[Row]:
    """The rows as they are; `found` gets their keys, in the order in which they come."""
    for row in rows:
        if not row.keys() <= found.keys():
            found.update(dict.fromkeys(row))
        yield row


def as_text(value: Any) -> str:
    """A cell as text; JSON's null is empty, lists and objects are written as JSON."""
    if isinstance(value, str):
        return str(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def refuse_half_characters(table: Table) -> None:
    """JSON can escape half a surrogate pair; it is no text, and no file or server would take it."""
    for number, row in enumerate(table.rows, start=1):
        for column, value in row.items():
            try:
                as_text(value).encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"{table.path}, row {number}, column {column}",
                    f"found half a character (a lone surrogate) at position {error.start}",
                    "mend or remove the row",
                ) from None


def _text(data: bytes, encoding: str, newline: str = "") -> io.TextIOWrapper:
    """The bytes as text, decoded as it is read: a large file is never held twice."""
    return io.TextIOWrapper(io.BytesIO(data), encoding, newline=newline)


def _open_workbook(data: bytes, where: str, sha256: str) -> Opened:
    from ftvp_core.data.sheets import read_workbook

    _refuse_other_archives(data, where)
    sheet, lines = read_workbook(data, where)
    columns, rows = _headed(lines, where, lambda: f", sheet {sheet}")
    format_ = "xlsx" if data.startswith(b"PK") else "xls"
    return Opened(sha256, format_, "binary", columns, rows, sheet)


def _refuse_other_archives(data: bytes, where: str) -> None:
    for inside, what in ((b"word/document.xml", "a Word document"), (b"ppt/presentation.xml", "a presentation")):
        if data.startswith(b"PK") and inside in data:
            raise UserError(where, f"is {what}, which is no table", "upload it as knowledge, or give CSV, JSON or XLSX")


def _open_parquet(data: bytes, where: str, sha256: str) -> Opened:
    from ftvp_core.data.sheets import read_parquet

    columns, lines = read_parquet(data, where)
    _refuse_twice(columns, where)
    rows = (dict(zip(columns, values, strict=True)) for values in lines)
    return Opened(sha256, "parquet", "binary", columns, rows)


def _separator(data: bytes, encoding: str) -> str:
    """The separator by which the first rows are most often as wide as the header; none where the header is one cell."""
    sample = _text(data, encoding).read(SAMPLE_CHARACTERS)
    ranked = {separator: _fit(sample, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: ranked[separator])
    return best if ranked[best][1] > 1 else NO_SEPARATOR


def _fit(sample: str, separator: str) -> tuple[float, int]:
    """The share of the sample's rows that are as wide as its first, and that width. Quoted separators don't count."""
    widths: list[int] = []
    try:
        for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=separator, strict=True):
            if cells:
                widths.append(len(cells))
            if len(widths) > SAMPLE_ROWS:
                break
    except csv.Error:
        if len(sample) < SAMPLE_CHARACTERS:  # else the sample may end inside quotes
            return 0.0, widths[0] if widths else 0
    if not widths or widths[0] == 1:
        return 0.0, len(widths[:1])
    return widths.count(widths[0]) / len(widths), widths[0]


def _read_separated(text: io.TextIOWrapper, separator: str, where: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    reader = csv.reader(text, delimiter=separator, strict=True)

    def lines() -> Iterator[list[str]]:
        try:
            yield from reader
        except csv.Error as error:
            name = SEPARATORS.get(separator, "csv").upper()
            raise UserError(f"{where}, line {reader.line_num}", f"not {name}: {error}", "mend the line") from None

    return _headed(lines(), where, lambda: f" (line {reader.line_num})")


def _headed(lines: Iterator[list[str]], where: str, place: Callable[[], str]) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The first line that isn't empty as the header, and the others as rows. `place` says more of where a row is."""
    header = next((cells for cells in lines if cells), None)
    if header is None:
        raise UserError(where, "is empty", "give it a header and rows")
    columns = tuple(name.strip() for name in header)
    if columns.count("") > 1:  # an export's empty columns at the right
        columns = columns[: max((at for at, name in enumerate(columns, start=1) if name), default=1)]
    _refuse_twice(columns, where)
    return columns, _rows(lines, columns, where, place)


def _refuse_twice(columns: tuple[str, ...], where: str) -> None:
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise UserError(where, f"column {min(twice)!r} stands twice", "give each column its own name")


def _rows(lines: Iterable[list[str]], columns: tuple[str, ...], where: str, place: Callable[[], str]) -> Iterator[Row]:
    width = len(columns)
    for number, cells in enumerate((cells for cells in lines if cells), start=1):
        if len(cells) < width or any(cells[width:]):
            raise UserError(
                f"{where}, row {number}{place()}",
                f"found {len(cells)} cells, expected {width}",
                "quote cells that hold the separator",
            )
        yield dict(zip(columns, cells, strict=False))


def _read_json(data: bytes, encoding: str, where: str) -> tuple[str, Iterable[Row]]:
    """An object a line, or else what `_json_whole` reads, whatever the name. The format, and the rows."""
    lines = (line for line in _text(data, encoding, newline="\n") if line.strip())  # U+2028 is text, no line's end
    try:
        first = _loads(next(lines, ""))
    except json.JSONDecodeError:
        first = None  # objects over several lines, or no JSON: said below, with its place
    if isinstance(first, dict) and next(lines, None) is not None:
        return "jsonl", _json_lines(_text(data, encoding, newline="\n"), where)
    loaded = _json_whole(_text(data, encoding).read(), where)
    if where.endswith((".jsonl", ".ndjson")):  # a lone object is a row, whatever lists it holds
        return "jsonl", _as_rows([loaded] if isinstance(loaded, dict) else loaded, where)
    return "json", _as_rows(loaded, where)


def _json_lines(lines: Iterable[str], where: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}, line {number}, column {error.colno}", f"not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}, line {number}", f"found {as_text(row)[:40]!r}, expected an object")
        yield {sys.intern(key): value for key, value in row.items()}  # one key for all rows: a quarter of their memory


def _json_whole(text: str, where: str) -> Any:
    """What the text holds; a list of it where values stand one after another over several lines."""
    values = []
    at = _space(text, 0)
    try:
        while at < len(text):
            value, end = _decoded(text, at)
            values.append(value)
            at = _space(text, end)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}, line {error.lineno}, column {error.colno}", f"not JSON: {error.msg}") from None
    if not values:
        raise UserError(where, "is empty", "give it rows")
    return values[0] if len(values) == 1 else values


def _as_rows(loaded: Any, where: str) -> list[Row]:
    """The rows of what JSON or YAML holds: a list's, those of an object's only list of objects, or the object."""
    if isinstance(loaded, dict):
        lists = [
            key for key, value in loaded.items() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        # Under {intent: [{data: …}]} the key is the label of its rows, and is kept with them.
        whole = len(lists) != 1 or lists[0] in PARTS_OF_A_ROW or set(loaded[lists[0]][0]) == {"data"}
        loaded = [loaded] if whole or BESIDE_TESTS & loaded.keys() else loaded[lists[0]]
    if not isinstance(loaded, list):
        raise UserError(where, "found no list of rows", "give a list of objects, or one object a line")
    for number, row in enumerate(loaded, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{where}, row {number}", f"found {as_text(row)[:40]!r}, expected an object")
    return loaded


class _Plain(yaml.BaseLoader):
    """YAML whose scalars are all text, and in which nothing stands for something else: aliases can grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(problem="found an alias; write out what it stands for", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> str:
        return node.value if node.style else Bare(node.value)


def _load_yaml(text: str, where: str) -> Any:
    """YAML with its scalars as they are spelled. Raises UserError."""
    try:
        return yaml.load(text, Loader=_Plain)  # noqa: S506, it makes text, lists and objects only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}{at}", f"not YAML: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise UserError(where, "not YAML: too many brackets inside each other") from None


def _loads(text: str) -> Any:
    """One JSON value. Raises JSONDecodeError."""
    value, end = _decoded(text, _space(text, 0))
    if _space(text, end) < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at a position, and its end; numbers keep their spelling. Raises JSONDecodeError."""
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        raise json.JSONDecodeError("too many brackets inside each other", text, at) from None


def _space(text: str, at: int) -> int:
    """Where the white space that may begin at a position ends."""
    found = _SPACE.match(text, at)
    assert found is not None  # it may be empty
    return found.end()
