"""Rows, sets of them, passages, and what a check finds. Text is text: no cell is ever read as a number or as missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    role: Role
    content: str


#: The name of a row's last assertion that says which mean of the others passes; without it all must pass.
ROW_THRESHOLD = "threshold"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a row itself asks of its answer, such as promptfoo's `not-contains(0.5):text`.

    `name` is the kind without its `not-`; a kind that no grader has can't be run, and its row is ungraded.
    """

    name: str
    value: Any = None
    threshold: float | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `references` may be empty (nothing to grade against) or several (any will do).

    `input` is the last thing that was asked; a conversation's turns before it are `history`, without the system
    prompt. `assertions`, where there are any, are graded instead of the comparison's graders. `recorded` is an
    answer that the file already holds: never a reference.
    """

    id: str
    input: str
    references: tuple[str, ...]
    columns: Mapping[str, str]
    group: str | None = None
    tags: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    system: str | None = None
    history: tuple[Message, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    recorded: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which column plays which part."""

    input: str
    reference: str | None = None
    id: str | None = None
    group: str | None = None
    gold: str | None = None
    tags: str | None = None


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """An eval set or a training set. `sha256` is of the file's bytes, as `sha256sum` prints it."""

    name: str
    sha256: str
    format: str
    encoding: str
    mapping: Mapped
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of Knowledge. `source` is the path of its file inside the knowledge's folder."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What retrieval searches. `sha256` is of all passages' content; `empty` are the sources that gave no text."""

    name: str
    sha256: str
    passages: tuple[Passage, ...]
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check of the data found. `rows` count from 1, the header not counted.

    `part` says of which set the rows are. `pairs` shows rows beside what they repeat: an earlier row of their own
    set, or a training row for a leak.
    """

    id: str
    severity: Literal["error", "warning", "info"]
    count: int
    rows: tuple[int, ...]
    message: str
    part: Literal["eval", "train"] = "eval"
    pairs: tuple[tuple[int, int], ...] = ()
