"""Formats that people bring, recognised without a mapping. A new one is a Format and its line here."""

from dataclasses import replace
from itertools import islice

from ftvp_core.data.formats import chat, harness, nested, own, promptfoo, records, tuning
from ftvp_core.data.formats.base import Format
from ftvp_core.data.formats.columns import COLUMNS
from ftvp_core.data.rows import Table
from ftvp_core.errors import UserError
from ftvp_core.types import Example

#: Formats whose readings of so many rows are equal are the same to the user.
ROWS_COMPARED = 20

#: In the order in which they are offered; plain columns come last.
FORMATS: tuple[Format, ...] = (
    *own.FORMATS,
    *chat.FORMATS,
    *promptfoo.FORMATS,
    *harness.FORMATS,
    *nested.FORMATS,
    *tuning.FORMATS,
    *records.FORMATS,
    COLUMNS,
)


def fitting(table: Table) -> tuple[str, ...]:
    """The names of all formats that the table fits, the surest first; what `format` may say of it."""
    return tuple(format_.name for format_, _ in _fitting(table))


def chosen(table: Table, name: str | None) -> Format:
    """The format of this name, or the one that fits best. Raises UserError where none does, or several as well."""
    found = _fitting(table)
    by_name = {format_.name: format_ for format_, _ in found}
    if name is not None:
        if name not in by_name:
            raise UserError(
                table.path, f"format: found {name!r}, which it doesn't fit", f"it fits {', '.join(by_name) or 'none'}"
            )
        return by_name[name]
    if not found:
        raise UserError(
            table.path,
            f"no column is recognised as the input among {', '.join(table.columns) or 'none'}",
            "name it with input",
        )
    best = [format_ for format_, sure in found if sure == found[0][1]]
    readings = [_reading(format_, table) for format_ in best]
    if any(reading != readings[0] for reading in readings):
        shown = "; ".join(f"format: {one.name} ({_shown(read[0])})" for one, read in zip(best, readings, strict=True))
        raise UserError(table.path, f"can be read in {len(best)} ways", f"choose {shown}")
    return best[0]


def _fitting(table: Table) -> list[tuple[Format, int]]:
    found = [(format_, sure) for format_ in FORMATS if (sure := format_.fits(table))]
    return sorted(found, key=lambda one: -one[1])


def _reading(format_: Format, table: Table) -> list[Example]:
    """What the format takes the first rows for, their columns and ids aside."""
    rows = islice(format_.read(table), ROWS_COMPARED)
    return [replace(row, id="", columns={}) for row in rows]


def _shown(row: Example) -> str:
    """A reading of a row in short."""
    parts = [f"reference {row.references[0][:30]!r}" if row.references else "no reference"]
    return ", ".join([*parts, *([f"recorded answer {row.recorded[:30]!r}"] if row.recorded else [])])
