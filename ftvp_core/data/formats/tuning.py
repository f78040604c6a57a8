"""Rows written for training: Alpaca's instructions, TRL's prompts and completions, TRL's plain texts."""

from collections.abc import Iterator
from typing import Any

from ftvp_core.data.formats.base import NO, SHAPE, TOOL, Format, example, held, misfit, mostly, numbered, texts
from ftvp_core.data.formats.conversation import is_turns, prompt_of, turns_of
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Example, Mapped, Message

#: Dolly's rows are instructions too, under other names.
DOLLY = {"instruction", "context", "response", "category"}
#: Columns that may stand beside TRL's `text` without saying more of it.
BESIDE_TEXT = {"text", "id", "meta", "metadata", "source"}


def _fits_alpaca(table: Table) -> int:
    found = set(table.columns)
    return TOOL if {"instruction", "output"} <= found or found == DOLLY else NO


def _alpaca(table: Table) -> Iterator[Example]:
    dolly = set(table.columns) == DOLLY
    more, answer = ("context", "response") if dolly else ("input", "output")
    for where, row in numbered(table):
        parts = (as_text(row.get("instruction")), as_text(row.get(more)))
        yield example(
            row,
            "\n\n".join(part for part in parts if part),
            texts(row.get(answer)),
            system=as_text(row.get("system")) or None,
            history=_history(where, held(row.get("history"))),
            **({"tags": texts(row.get("category"))} if dolly else {}),
        )


def _mapped_alpaca(table: Table) -> Mapped:
    return Mapped("input", "response" if set(table.columns) == DOLLY else "output")


def _history(where: str, value: Any) -> tuple[Message, ...]:
    """Alpaca's earlier exchanges: pairs of what was asked and answered."""
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise misfit(where, "history", value, "a list of [asked, answered] pairs")
    return tuple(
        turn
        for asked, answered in value
        for turn in (Message("user", as_text(asked)), Message("assistant", as_text(answered)))
    )


def _is_prompt_of_turns(row: Row) -> bool:
    return is_turns(row.get("prompt")) and is_turns(row.get("completion"))


def _fits_prompt_completion(table: Table) -> int:
    if not {"prompt", "completion"} <= set(table.columns):
        return NO
    return SHAPE if mostly(table, _is_prompt_of_turns) else TOOL


def _prompt_completion(table: Table) -> Iterator[Example]:
    as_turns = mostly(table, _is_prompt_of_turns)
    for where, row in numbered(table):
        if not as_turns:
            yield example(row, as_text(row.get("prompt")), texts(row.get("completion")))
            continue
        input_, parts = prompt_of(turns_of(where, "prompt", row.get("prompt")))
        answers = turns_of(where, "completion", row.get("completion"))
        references = [turn.text for turn in answers if turn.role == "assistant"][-1:]
        yield example(row, input_, references, leave=("prompt", "completion"), **parts)


def _mapped_prompt_completion(table: Table) -> Mapped:
    plain = not mostly(table, _is_prompt_of_turns)
    return Mapped("prompt", "completion") if plain else Mapped("input")


def _fits_text(table: Table) -> int:
    return TOOL if "text" in table.columns and set(table.columns) <= BESIDE_TEXT else NO


def _text(table: Table) -> Iterator[Example]:
    for row in table.rows:
        yield example(row, as_text(row.get("text")))


ALPACA = Format("alpaca", _fits_alpaca, _alpaca, _mapped_alpaca)
PROMPT_COMPLETION = Format(
    "trl-prompt-completion", _fits_prompt_completion, _prompt_completion, _mapped_prompt_completion
)
TEXT = Format("trl-text", _fits_text, _text, lambda _: Mapped("text"))
FORMATS = (ALPACA, PROMPT_COMPLETION, TEXT)
