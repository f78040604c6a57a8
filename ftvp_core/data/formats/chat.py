"""Conversations: OpenAI's fine-tuning rows, Bedrock's, and ShareGPT's."""

from collections.abc import Callable, Iterator

from ftvp_core.data.formats.base import NO, SHAPE, Format, example, held, mostly, numbered, recorded_of, texts
from ftvp_core.data.formats.columns import recognise, recorded_column
from ftvp_core.data.formats.conversation import Turn, conversation, is_turns, turns_of
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Example

#: Bedrock keeps the system prompt beside the turns.
BEDROCK_KEYS = {"system", "schemaVersion"}
SHAREGPT_KEYS = ("conversations", "conversation")


def _system(row: Row) -> str:
    """A row's own system prompt: text, or a list of text parts."""
    found = held(row.get("system"))
    parts = found if isinstance(found, list) else [found]
    return "\n".join(as_text(part.get("text") if isinstance(part, dict) else part) for part in parts)


def _read(table: Table, key: str, turns: Callable[[str, Row], list[Turn]]) -> Iterator[Example]:
    """A conversation a row. A column named as references are holds the reference of a row that ends unanswered."""
    others = [column for column in table.columns if column != key]
    reference = recognise(others)[1]
    recorded = recorded_column(others, (reference,))
    for where, row in numbered(table):
        input_, answer, parts = conversation(turns(where, row), _system(row))
        references = (answer,) if answer else texts(row.get(reference)) if reference else ()
        if recorded and parts["recorded"] is None:
            parts["recorded"] = recorded_of(row.get(recorded))
        yield example(row, input_, references, leave=(key,), **parts)


def _has_messages(table: Table) -> bool:
    return mostly(table, lambda row: is_turns(row.get("messages")))


def _messages(table: Table) -> Iterator[Example]:
    return _read(table, "messages", lambda where, row: turns_of(where, "messages", row.get("messages")))


def _sharegpt_key(table: Table) -> str:
    return next((key for key in SHAREGPT_KEYS if key in table.columns), "")


def _sharegpt(table: Table) -> Iterator[Example]:
    key = _sharegpt_key(table)

    def turns(where: str, row: Row) -> list[Turn]:
        names = ("from", "value") if is_turns(row.get(key), "from") else ("role", "content")
        return turns_of(where, key, row.get(key), *names)

    return _read(table, key, turns)


def _fits_sharegpt(table: Table) -> int:
    key = _sharegpt_key(table)
    return SHAPE if mostly(table, lambda row: any(is_turns(row.get(key), who) for who in ("from", "role"))) else NO


OPENAI_CHAT = Format(
    "openai-chat",
    lambda table: SHAPE if _has_messages(table) and not BEDROCK_KEYS & set(table.columns) else NO,
    _messages,
)
BEDROCK = Format(
    "bedrock", lambda table: SHAPE if _has_messages(table) and BEDROCK_KEYS & set(table.columns) else NO, _messages
)
SHAREGPT = Format("sharegpt", _fits_sharegpt, _sharegpt)
FORMATS = (OPENAI_CHAT, BEDROCK, SHAREGPT)
