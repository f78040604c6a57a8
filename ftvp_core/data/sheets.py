"""Workbooks and Parquet, read as rows of text: a cell is what it looks like, whole numbers without `.0`, dates ISO.

Error cells are read as what they show; the checks warn of them.
"""

import io
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from ftvp_core.data.sheet_errors import error_cells
from ftvp_core.errors import UserError

BATCH = 1024
#: How an encrypted workbook names its content, in the container's own UTF-16.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def read_workbook(data: bytes, where: str) -> tuple[str, Iterator[list[str]]]:
    """XLSX or XLS: the first sheet that holds anything, by name, and its lines but for empty ones. Raises UserError."""
    from python_calamine import CalamineError, PasswordError, load_workbook

    locked = UserError(where, "is protected by a password", "save it without one")
    if data.startswith(b"\xd0\xcf\x11\xe0") and _ENCRYPTED in data:
        raise locked
    try:
        workbook = load_workbook(io.BytesIO(data))
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            if sheet.height:
                return name, filter(any, _lines(sheet, error_cells(data, name)))
    except PasswordError:
        raise locked from None
    except (CalamineError, OSError, ValueError) as error:  # cut off, damaged, or no workbook at all
        raise UserError(where, f"can't be read as a workbook ({error})", "open it and save it again") from None
    raise UserError(where, "holds no sheet with a filled cell", "give it a header and rows")


def _lines(sheet: Any, errors: Mapping[tuple[int, int], str]) -> Iterator[list[str]]:
    """The lines' cells as text. `errors` by (row, column), from 0: the reader shows such a cell as empty."""
    left = sheet.start[1]
    for number, line in enumerate(sheet.iter_rows()):
        yield [shown(cell) or errors.get((number, left + at), "") for at, cell in enumerate(line)]


def read_parquet(data: bytes, where: str) -> tuple[tuple[str, ...], Iterator[list[Any]]]:
    """The columns, and rows whose nested values are lists and objects, as JSON's are. Raises UserError."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(where, error) from None
    return tuple(file.schema_arrow.names), _parquet_rows(file, where)


def _parquet_rows(file: Any, where: str) -> Iterator[list[Any]]:
    import pyarrow as pa

    number = 0
    try:
        for batch in file.iter_batches(BATCH, use_threads=False):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield [None if value is None else _plain(value) for value in values]
    except MemoryError:
        raise
    except UnicodeDecodeError as error:  # bytes, or text that isn't UTF-8
        raise UserError(f"{where}, row {number}", f"found bytes that are no text ({error.reason})") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from None


def _unreadable(where: str, error: Exception) -> UserError:
    locked = "ncrypted" in str(error)
    remedy = "save it without encryption" if locked else "write it again"
    return UserError(where, f"can't be read as Parquet ({str(error)[:200]})", remedy)


def _plain(value: Any) -> Any:
    """A Parquet value as JSON would hold it, numbers as text in their own spelling."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, tuple):  # a map's pair
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def shown(cell: Any) -> str:
    """A workbook's cell as text."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e16 else repr(cell)
    if isinstance(cell, date | datetime | time):
        return cell.isoformat()
    return _duration(cell) if isinstance(cell, timedelta) else str(cell)


def _duration(cell: timedelta) -> str:
    """Hours, minutes and seconds, as a sheet shows them: 30:00:00 is a day and six hours."""
    minutes, seconds = divmod(round(cell.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
