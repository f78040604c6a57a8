"""The product's own format: a JSON line an Example, as a cleaned version of a set is saved."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any

from ftvp_core.data.formats.base import NO, SHAPE, Format, misfit, mostly, numbered, typed
from ftvp_core.data.rows import Row, Table
from ftvp_core.types import Assertion, Example, Mapped, Message

NEEDED = {"id", "input", "references", "columns"}
KNOWN = {field.name for field in fields(Example)}


def to_jsonl(examples: Iterable[Example]) -> str:
    """One line an Example; read back equal."""
    return "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in examples)


def example_of(row: Row) -> Example:
    """The Example that `asdict` made this of: a column that is its input, say, is kept once, as it was."""
    lists = {key: tuple(row.get(key, ())) for key in ("references", "tags", "gold")}
    parts = {text: text for text in (row["id"], row["input"], *lists["references"])}
    columns = {key: parts.get(text, text) for key, text in row["columns"].items()}
    history = tuple(Message(*turn) for turn in row.get("history", ()))
    assertions = tuple(Assertion(**one) for one in row.get("assertions", ()))
    return Example(**{**row, **lists, "columns": columns, "history": history, "assertions": assertions})


def _is_own(row: Row) -> bool:
    return (
        row.keys() >= NEEDED
        and row.keys() <= KNOWN
        and isinstance(row["columns"], dict)
        and isinstance(row["references"], list)
    )


def _read(table: Table) -> Iterator[Example]:
    for where, row in numbered(table):
        if not _is_own(row):
            raise misfit(where, "columns", row.get("columns"), "an Example with id, input, references and columns")
        try:
            yield example_of({**row, "assertions": [_assertion(one) for one in row.get("assertions", ())]})
        except (TypeError, ValueError, AttributeError) as error:
            raise misfit(where, "assertions and history", str(error), "what the product wrote") from None


def _assertion(row: Row) -> Row:
    """JSON's numbers are read as their spelling: an assertion's are numbers again."""
    return {**row, "value": typed(row.get("value")), "threshold": typed(row.get("threshold"))}


def _mapped(table: Table) -> Mapped:
    """The columns that hold the inputs and the references, so that a prompt's names mean what they did."""
    return Mapped(
        _same(table, lambda row: row["input"]) or "input", _same(table, lambda row: (row["references"] or [None])[0])
    )


def _same(table: Table, value: Callable[[Row], Any]) -> str | None:
    """The first column that is equal to the value in every row."""
    return next(
        (
            name
            for name in table.rows[0]["columns"]
            if all(row["columns"].get(name) == value(row) for row in table.rows)
        ),
        None,
    )


FORMATS = (Format("ftvp", lambda table: SHAPE if mostly(table, _is_own) else NO, _read, _mapped),)
