"""A file's bytes, read as rows of text. Nothing is guessed from a cell's looks: `NA`, `007`, `1e5` stay."""

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ftvp_core.errors import UserError

#: One row: a cell is text, or what JSON holds (a list of references, say); numbers keep their spelling.
Row = dict[str, Any]

#: Lists that are one row's own, not a file's rows.
PARTS_OF_A_ROW = {"messages", "conversations", "conversation", "input", "prompt", "completion", "assert", "assertions"}
#: A test configuration's keys beside its `tests`: with them the object says more than its rows do.
BESIDE_TESTS = {"defaultTest", "scenarios"}

SEPARATORS = {",": "csv", "\t": "tsv", ";": "semicolon", "|": "pipe"}
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

csv.field_size_limit(2**31 - 1)


class Bare(str):
    """A scalar that its file wrote without quotes (a JSON number, YAML's plain words): its spelling, as text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A file as it was read. `columns` in the file's order."""

    path: str
    sha256: str
    format: str
    encoding: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, encoding: str | None = None) -> Table:
    """Read CSV (any separator), JSON, JSONL or YAML. Raises UserError with file, row and what to do."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: a null character in the path
        raise UserError(str(path), f"can't be read ({getattr(error, 'strerror', error)})", "check the path") from None
    text, encoding = decode(data, str(path), encoding)
    if path.suffix.lower() in {".yaml", ".yml"}:
        format_, rows = "yaml", _as_rows(_load_yaml(text, str(path)), str(path))
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
    elif path.suffix.lower() in {".json", ".jsonl", ".ndjson"} or text.lstrip()[:1] in {"[", "{"}:
        format_, rows = _read_json(text, str(path))
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
    else:
        format_, columns, rows = _read_separated(text, path)
    return Table(str(path), hashlib.sha256(data).hexdigest(), format_, encoding, columns, tuple(rows))


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


def decode(data: bytes, where: str, encoding: str | None) -> tuple[str, str]:
    """Text and the encoding's name: the one given, else a byte order mark's, UTF-8, or a detected one."""
    if encoding is None:
        encoding = next((name for bom, name in BOMS if data.startswith(bom)), None)
    if encoding is None and _is_utf8(data):
        encoding = "utf-8"
    if encoding is None and _is_korean(data):
        encoding = "cp949"
    if encoding is None:
        from charset_normalizer import from_bytes  # 40 ms that UTF-8 files don't pay

        best = from_bytes(data).best()
        if best is None:
            raise UserError(where, "found no text encoding that fits", "name it with encoding")
        encoding = best.encoding
    try:
        return data.decode(encoding), encoding
    except LookupError:
        raise UserError(where, f"found encoding {encoding!r}, which isn't known", "name another") from None
    except UnicodeDecodeError as error:
        raise UserError(where, f"not {encoding} at byte {error.start}", "name another encoding") from None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_korean(data: bytes) -> bool:
    """Whether the bytes read as CP949 (and so EUC-KR) are Hangul nearly throughout.

    A detector of many encodings needs more text than an eval set's cells hold: it takes short CP949 for Big5.
    Chinese and Japanese bytes read as CP949 give Hanja and syllables mixed.
    """
    try:
        letters = [char for char in data.decode("cp949") if char > "\x7f" and char.isalpha()]
    except UnicodeDecodeError:
        return False
    hangul = sum("\uac00" <= char <= "\ud7a3" for char in letters)
    return bool(letters) and hangul >= 0.95 * len(letters)


def _read_separated(text: str, path: Path) -> tuple[str, tuple[str, ...], list[Row]]:
    first_line = text.lstrip("\r\n").partition("\n")[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(SEPARATORS, key=first_line.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    where = str(path)
    try:
        header = next((cells for cells in lines if cells), None)
        if header is None:
            raise UserError(where, "is empty", "give it a header and rows")
        columns = tuple(name.strip() for name in header)
        twice = {name for name in columns if columns.count(name) > 1}
        if twice:
            raise UserError(where, f"column {min(twice)!r} stands twice", "give each column its own name")
        rows = []
        for number, cells in enumerate((cells for cells in lines if cells), start=1):
            if len(cells) != len(columns):
                raise UserError(
                    f"{where}, row {number} (line {lines.line_num})",
                    f"found {len(cells)} cells, expected {len(columns)}",
                    "quote cells that hold the separator",
                )
            rows.append(dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise UserError(f"{where}, line {lines.line_num}", f"not {SEPARATORS[separator].upper()}: {error}") from None
    return SEPARATORS[separator], columns, rows


def _read_json(text: str, where: str) -> tuple[str, list[Row]]:
    """A list of objects, an object that holds one such list, or an object a line (whatever the name)."""
    try:
        loaded = _loads(text)
    except json.JSONDecodeError as whole:
        if "\n" not in text.strip():
            raise UserError(f"{where}, line {whole.lineno}, column {whole.colno}", f"not JSON: {whole.msg}") from None
        return "jsonl", list(_json_lines(text, where))
    format_ = "jsonl" if where.endswith((".jsonl", ".ndjson")) else "json"
    return format_, _as_rows([loaded] if format_ == "jsonl" and isinstance(loaded, dict) else loaded, where)


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


def _json_lines(text: str, where: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: U+2028 is text
        if not line.strip():
            continue
        try:
            row = _loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}, line {number}, column {error.colno}", f"not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}, line {number}", f"found {as_text(row)[:40]!r}, expected an object")
        yield row


def _loads(text: str) -> Any:
    """JSON whose numbers keep their spelling. Raises JSONDecodeError."""
    try:
        return json.loads(text, parse_int=Bare, parse_float=Bare)
    except RecursionError:
        raise json.JSONDecodeError("too many brackets inside each other", text, 0) from None
