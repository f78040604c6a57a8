"""What formats share: a row's cells as text or structure, and a row as an Example."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftvp_core.data.rows import Bare, Row, Table, as_text
from ftvp_core.errors import UserError
from ftvp_core.types import Example, Mapped

#: How surely a table is of a format. NAMES: words that anyone might choose. TOOL: one tool's own columns.
#: SHAPE: a structure that nothing else has.
NO, NAMES, TOOL, SHAPE = range(4)

#: As many rows show a file's format; each row is held to it when it is read.
ROWS_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Format:
    """One way to read a table. `read` gives an Example a row; its id is "" where the file gives none.

    `fits` says how surely a table is of this format, without reading all of it. `read` raises UserError.
    """

    name: str
    fits: Callable[[Table], int]
    read: Callable[[Table], Iterator[Example]]
    mapped: Callable[[Table], Mapped] = lambda _: Mapped("input")


def mostly(table: Table, fits: Callable[[Row], bool]) -> bool:
    """Whether at least half of the first rows fit: a faulty row is an error of its row, not of the format."""
    rows = table.rows[:ROWS_LOOKED_AT]
    return bool(rows) and 2 * sum(map(fits, rows)) >= len(rows)


def held(value: Any) -> Any:
    """What a cell holds: the list or object that it spells as JSON, or the cell itself."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            return json.loads(value, parse_int=Bare, parse_float=Bare)
        except (json.JSONDecodeError, RecursionError):
            return value
    return value


def typed(value: Any) -> Any:
    """The value with its bare scalars as the numbers and words that they spell, for what computes with them."""
    if isinstance(value, Mapping):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    if not isinstance(value, Bare):
        return value
    try:
        return json.loads(value)
    except ValueError:  # a word; or more digits than a number may have
        return str(value)


def as_json(value: Any) -> str:
    return json.dumps(typed(value), ensure_ascii=False)


def texts(value: Any) -> tuple[str, ...]:
    """The references of a cell: a JSON list holds several; an empty cell or null holds none."""
    values = value if isinstance(value, list) else [value]
    return tuple(as_text(one) for one in values if one is not None and one != "")


def recorded_of(value: Any) -> str | None:
    """An answer that the file holds; an empty cell holds none."""
    return as_text(value) or None


def tags_of(value: Any) -> tuple[str, ...]:
    parts = [as_text(one) for one in value] if isinstance(value, list) else re.split(r"[,;|]", as_text(value))
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def passages(value: Any) -> str:
    """A cell of passages as one text, as a prompt's context has it."""
    found = held(value)
    return "\n\n".join(map(as_text, found)) if isinstance(found, list) else as_text(found)


def example(
    row: Row, input_: str, references: Iterable[str] = (), *, leave: Sequence[str] = (), **parts: Any
) -> Example:
    """A row's Example: its cells as text (but those of `leave`), its input, id and tags."""
    columns = {column: as_text(value) for column, value in row.items() if column not in leave}
    columns |= parts.pop("columns", {})
    return Example(
        id=as_text(row.get("id")),
        input=input_,
        references=tuple(references),
        columns={**columns, "input": input_},
        tags=parts.pop("tags", tags_of(held(row.get("tags")))),
        **parts,
    )


def numbered(table: Table) -> Iterator[tuple[str, Row]]:
    """Each row with its place, as errors name it."""
    for number, row in enumerate(table.rows, start=1):
        yield f"{table.path}, row {number}", row


def misfit(where: str, key: str, value: Any, expected: str) -> UserError:
    """What is said of a row that isn't as its file's format has it."""
    found = "nothing" if value is None else repr(as_text(value)[:40])
    return UserError(f"{where}, {key}", f"found {found}; expected {expected}", "mend or remove the row")
