"""Eval harnesses' samples: openai/evals and Inspect."""

import string
from collections.abc import Iterator

from ftvp_core.data.formats.base import NO, SHAPE, TOOL, Format, example, held, mostly, numbered, texts
from ftvp_core.data.formats.conversation import is_turns, prompt_of, turns_of
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Example, Mapped


def _fits(table: Table, reference: str) -> int:
    if not {"input", reference} <= set(table.columns):
        return NO
    return SHAPE if mostly(table, lambda row: is_turns(row.get("input"))) else TOOL


def _read(table: Table, reference: str) -> Iterator[Example]:
    for where, row in numbered(table):
        turns = is_turns(row.get("input"))
        input_, parts = prompt_of(turns_of(where, "input", row["input"])) if turns else (as_text(row.get("input")), {})
        choices = _choices(row)
        if choices:
            input_ = "\n\n".join(part for part in (input_, choices) if part)
            parts["columns"] = {"choices": choices}
        yield example(row, input_, texts(held(row.get(reference))), **parts)


def _choices(row: Row) -> str:
    """Inspect's choices, a letter and a text a line: the target names a letter. A cell parts them by commas."""
    found = held(row.get("choices"))
    choices = found if isinstance(found, list) else [part.strip() for part in as_text(found).split(",") if part.strip()]
    names = [*string.ascii_uppercase, *map(str, range(1, len(choices) + 1))]
    return "\n".join(f"{name}) {as_text(choice)}" for name, choice in zip(names, choices, strict=False))


OPENAI_EVALS = Format(
    "openai-evals",
    lambda table: _fits(table, "ideal"),
    lambda table: _read(table, "ideal"),
    lambda _: Mapped("input", "ideal"),
)
INSPECT = Format(
    "inspect",
    lambda table: _fits(table, "target"),
    lambda table: _read(table, "target"),
    lambda _: Mapped("input", "target"),
)
FORMATS = (OPENAI_EVALS, INSPECT)
