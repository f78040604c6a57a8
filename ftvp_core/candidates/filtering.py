"""Which passages a search may find: by their source, or by a column where the knowledge is a table."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ftvp_core.data.knowledge import ROWS
from ftvp_core.errors import UserError
from ftvp_core.types import Knowledge, Passage

#: The key that is no column.
SOURCE = "source"
#: How many sources an error names.
NAMED = 5


def filtered(knowledge: Knowledge, patterns: Mapping[str, str] | None, where: str) -> Sequence[Passage]:
    """The passages that match every pattern (`*`, `?` and `[…]` as in a shell, case kept), in their order.

    The others are not searched at all: a search brings as many as it is asked for, and ranks as if the knowledge held
    nothing else. Raises UserError where a pattern matches nothing.
    """
    found: Sequence[Passage] = knowledge.passages
    for key, pattern in (patterns or {}).items():
        kept = [passage for passage in found if _matches(passage, key, pattern)]
        if not kept:
            raise UserError(
                f"{where}.retrieval.filter.{key}",
                f"found no passage that matches {pattern!r}",
                f"there are {_there(found, key)}",
            )
        found = kept
    return found


def _matches(passage: Passage, key: str, pattern: str) -> bool:
    if key == SOURCE:
        return fnmatchcase(passage.source, pattern)
    return any(fnmatchcase(value, pattern) for name, value in _columns(passage) if name == key)


def _columns(passage: Passage) -> list[tuple[str, str]]:
    """A table row's columns, as its passage names them, one a line."""
    if PurePosixPath(passage.source).suffix.lower() not in ROWS:
        return []
    lines = (line.partition(": ") for line in passage.text.split("\n"))
    return [(name, value) for name, separator, value in lines if separator]


def _there(passages: Sequence[Passage], key: str) -> str:
    if key == SOURCE:
        values = dict.fromkeys(passage.source for passage in passages)
    else:
        values = dict.fromkeys(value for passage in passages for name, value in _columns(passage) if name == key)
    if not values:
        columns = dict.fromkeys(name for passage in passages[:NAMED] for name, _ in _columns(passage))
        return f"source{''.join(f', {name}' for name in columns)} to filter by"
    named = ", ".join(list(values)[:NAMED])
    return f"{named}{f' and {len(values) - NAMED} more' if len(values) > NAMED else ''}"[:300]
