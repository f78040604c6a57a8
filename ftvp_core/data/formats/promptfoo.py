"""promptfoo's tests: CSV with `__expected` columns, and `vars` with `assert` in YAML, JSON or JSONL."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ftvp_core.data.formats.assertions import from_list, from_text, row_threshold
from ftvp_core.data.formats.base import (
    NO,
    SHAPE,
    Format,
    as_json,
    example,
    held,
    misfit,
    mostly,
    numbered,
    recorded_of,
    tags_of,
)
from ftvp_core.data.formats.columns import one_of
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Assertion, Example

#: A list as a variable stands for a test of each of its values; more tests of one row than this are a mistake.
MOST_TESTS_OF_A_ROW = 10_000

#: A comma that parts values: not one that is escaped.
_COMMA = re.compile(r"(?<!\\),")


def _is_csv(table: Table) -> bool:
    return any(column.startswith("__expected") for column in table.columns)


def _is_config(row: Row) -> bool:
    return isinstance(row.get("tests"), list)


def _is_test(row: Row) -> bool:
    return isinstance(held(row.get("vars")), dict) or isinstance(held(row.get("assert")), list)


def _fits(table: Table) -> int:
    return SHAPE if _is_csv(table) or mostly(table, lambda row: _is_config(row) or _is_test(row)) else NO


def _read(table: Table) -> Iterator[Example]:
    if _is_csv(table):
        yield from (_csv_row(where, row) for where, row in numbered(table))
        return
    for where, row in numbered(table):
        if not _is_config(row):
            yield from _test(where, row, {})
            continue
        if row.get("scenarios"):
            raise misfit(where, "scenarios", as_json(row["scenarios"]), "tests written out")
        default = row.get("defaultTest") or {}
        if not isinstance(default, dict):
            raise misfit(where, "defaultTest", default, "an object with vars and assert")
        for at, test in enumerate(row["tests"], start=1):
            if not isinstance(test, dict):
                raise misfit(f"{table.path}, test {at}", "tests", test, "an object with vars and assert")
            yield from _test(f"{table.path}, test {at}", test, default)


def _csv_row(where: str, row: Row) -> Example:
    cells = {column: as_text(cell) for column, cell in row.items()}
    variables = {column: cell for column, cell in cells.items() if not column.startswith("__")}
    every = cells.get("__config:__expected:threshold")
    assertions = tuple(
        from_text(cell.strip(), cells.get(f"__config:{column}:threshold") or every, variables)
        for column, cell in cells.items()
        if column.startswith("__expected") and cell.strip()
    )
    threshold = row_threshold(where, "__threshold", cells.get("__threshold"))
    return _example(
        where, variables, (*assertions, *threshold) if assertions else (),
        affixes=(cells.get("__prefix", ""), cells.get("__suffix", "")),
        description=cells.get("__description", ""),
        metadata=_csv_metadata(cells),
        recorded=cells.get("__providerOutput"),
    )  # fmt: skip


def _csv_metadata(cells: Mapping[str, str]) -> dict[str, str | list[str]]:
    """`__metadata:key` holds a text, `__metadata:key[]` several between commas (`\\,` is one)."""
    found: dict[str, str | list[str]] = {}
    for column, cell in cells.items():
        key = column.removeprefix("__metadata:")
        if key != column and cell and key.endswith("[]"):
            found[key[:-2]] = [part.strip().replace("\\,", ",") for part in _COMMA.split(cell)]
        elif key != column and cell:
            found[key] = cell
    return found


def _test(where: str, row: Row, default: Mapping[str, Any]) -> Iterator[Example]:
    """The tests of a row: one, or one of each combination where variables are lists."""
    variables = {**_object(where, "defaultTest.vars", default.get("vars")), **_object(where, "vars", row.get("vars"))}
    options = {**_object(where, "options", default.get("options")), **_object(where, "options", row.get("options"))}
    asserted = [*_list(where, "assert", default.get("assert")), *_list(where, "assert", row.get("assert"))]
    given = row.get("threshold", default.get("threshold"))
    threshold = row_threshold(where, "threshold", given)
    metadata = {
        key: [as_text(one) for one in value] if isinstance(value, list) else _cell(value)
        for key, value in _object(where, "metadata", row.get("metadata")).items()
    }
    for filled in _combinations(where, variables, options):
        assertions = from_list(where, asserted, filled, weighed=bool(threshold))
        if assertions and options.get("transform"):
            assertions = (*assertions, Assertion("transform", options["transform"]))
        yield _example(
            where, filled, (*assertions, *threshold) if assertions else (),
            affixes=(as_text(options.get("prefix")), as_text(options.get("suffix"))),
            description=as_text(row.get("description")),
            metadata=metadata,
            recorded=row.get("providerOutput"),
        )  # fmt: skip


def _combinations(where: str, variables: Row, options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if as_text(options.get("disableVarExpansion")).lower() == "true":
        yield {name: _cell(value) for name, value in variables.items()}
        return
    choices = [value if isinstance(value, list) and value else [value] for value in variables.values()]
    count = 1
    for values in choices:
        count *= len(values)
    if count > MOST_TESTS_OF_A_ROW:
        raise misfit(where, "vars", f"lists that make {count} tests", f"at most {MOST_TESTS_OF_A_ROW} tests of a row")
    for filled in itertools.product(*choices):
        yield dict(zip(variables, map(_cell, filled), strict=True))


def _example(
    where: str,
    variables: Mapping[str, str],
    assertions: tuple[Assertion, ...],
    *,
    affixes: tuple[str, str],
    description: str,
    metadata: Mapping[str, str | list[str]],
    recorded: Any,
) -> Example:
    """A test's Example: `one_of` its variables is asked, between the affixes."""
    equal = [one for one in assertions if one.name == "equals" and not one.negated]
    columns = {key: ", ".join(value) if isinstance(value, list) else value for key, value in metadata.items()}
    columns |= {"description": description} if description else {}
    return example(
        {**columns, **variables},
        f"{affixes[0]}{one_of(variables)}{affixes[1]}",
        [_cell(equal[0].value)] if len(equal) == 1 else [],
        tags=tags_of(metadata.get("tags")),
        assertions=assertions,
        recorded=recorded_of(recorded),
    )


def _cell(value: Any) -> str:
    return as_json(value) if isinstance(value, dict | list) else as_text(value)


def _object(where: str, key: str, value: Any) -> Row:
    found = held(value)
    if found is None or found == "":
        return {}
    if not isinstance(found, dict):
        raise misfit(where, key, found, "an object of names and values")
    return found


def _list(where: str, key: str, value: Any) -> list[Any]:
    found = held(value)
    if found is None or found == "":
        return []
    if not isinstance(found, list):
        raise misfit(where, key, found, "a list of {type, value}")
    return found


FORMATS = (Format("promptfoo", _fits, _read),)
