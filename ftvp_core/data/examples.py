"""Rows to Examples: in which format, which columns, and each row's id."""

import csv
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain, islice
from pathlib import Path

from ftvp_core.data.formats import chosen, columns
from ftvp_core.data.formats.base import held, texts
from ftvp_core.data.formats.own import example_of
from ftvp_core.data.packed import pack_examples
from ftvp_core.data.rows import Row, Table, as_text, refuse_half_characters
from ftvp_core.errors import UserError
from ftvp_core.spec import TrainSetSpec
from ftvp_core.types import Example, ExampleSet, Mapped

#: Between a stored set's keys and its rows. It stands in no text: there its quotes are escaped.
_ROWS_BEGIN = ', "examples": ['
ROWS_A_PIECE = 256
#: The parts that a user can give a column for.
KEYS = ("input", "reference", "id", "group", "gold")


def to_examples(table: Table, spec: TrainSetSpec) -> ExampleSet:
    """Read all of a table's rows in the format that it fits. Raises UserError.

    Columns named by the user mean plain columns, whatever else the table fits; then `format` decides; then the
    format that fits best.
    """
    if not table.rows:
        raise UserError(table.path, "found no rows", "give it at least one")
    try:
        refuse_half_characters(table)
        return _read(table, spec)
    except RecursionError:
        raise UserError(table.path, "a row holds too many brackets inside each other", "mend or remove it") from None


def _read(table: Table, spec: TrainSetSpec) -> ExampleSet:
    asked = {key: column for key in KEYS if (column := getattr(spec, key, None)) is not None}
    plain = "input" in asked or "reference" in asked
    format_ = columns.COLUMNS if plain else chosen(table, spec.format)
    if format_ is columns.COLUMNS:
        mapping = _mapping(table, asked)
        examples, name = pack_examples(columns.read(table, mapping)), table.format
    else:
        examples, name = pack_examples(_placed(table, one, asked) for one in format_.read(table)), format_.name
        mapping = replace(format_.mapped(table), **{"id": _own_id(table), **asked})
    if not examples:
        raise UserError(table.path, "found no rows", "give it at least one")
    identified = _identified(examples, given="id" in asked)
    return ExampleSet(Path(table.path).name, table.sha256, name, table.encoding, mapping, identified)


def sampled(examples: ExampleSet, limit: int | None, seed: int) -> ExampleSet:
    """A seeded sample of `limit` rows, in the file's order; all of them when there are no more."""
    rows = examples.examples
    if limit is None or limit >= len(rows):
        return examples
    return replace(
        examples, examples=pack_examples(rows[at] for at in sorted(random.Random(seed).sample(range(len(rows)), limit)))
    )


def nested(rows: Sequence[Example], n: int | None, seed: int, *, by_label: bool) -> list[Example]:
    """A seeded shuffle of all rows, or `n` of them, of which fewer are always a subset of more.

    With `by_label` the labels come in turn: 5 × labels are 5 rows of each, as long as each has so many.
    """
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    if n is None or n >= len(shuffled) or not by_label:
        return shuffled[:n]
    seen = Counter[tuple[str, ...]]()
    turns = []
    for row in shuffled:
        turns.append(seen[row.references[:1]])
        seen[row.references[:1]] += 1
    return [shuffled[at] for at in sorted(range(len(shuffled)), key=turns.__getitem__)[:n]]


def recorded_csv(examples: ExampleSet) -> str | None:
    """The answers that the file already holds, as a recorded candidate reads them; None where it holds none."""
    held_answers = [(one.id, one.recorded) for one in examples.examples if one.recorded is not None]
    if not held_answers:
        return None
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([("id", "output"), *held_answers])
    return out.getvalue()


def _mapping(table: Table, asked: Mapping[str, str]) -> Mapped:
    """Which column is what: those that the user names, the others by their names. Raises UserError."""
    for key, column in asked.items():
        if column not in table.columns:
            raise _no_column(table.path, key, column, table.columns)
    by_name = columns.recognise(column for column in table.columns if column not in asked.values())
    input_ = asked.get("input") or by_name[0]
    if input_ is None:
        raise UserError(
            table.path, f"no column is recognised as the input among {', '.join(table.columns)}", "name it with input"
        )
    return Mapped(
        input=input_,
        reference=asked.get("reference") or by_name[1],
        id=asked.get("id") or _own_id(table),
        group=asked.get("group"),
        gold=asked.get("gold"),
        tags=columns.named(table.columns, "tags"),
    )


def _own_id(table: Table) -> str | None:
    """A column named `id`, if its values are unique."""
    ids = {as_text(row.get("id")) for row in table.rows}
    return "id" if len(ids) == len(table.rows) and "" not in ids else None


def _no_column(path: str, key: str, column: str, known: Iterable[str]) -> UserError:
    return UserError(path, f"{key}: found no column {column!r}", f"the columns are {', '.join(known) or 'none'}")


def _placed(table: Table, one: Example, asked: Mapping[str, str]) -> Example:
    """An Example of a format with the user's own columns for its id, group and gold. Raises UserError."""
    for key, column in asked.items():
        if column not in one.columns:
            raise _no_column(table.path, key, column, one.columns)
    found = {key: one.columns[column] for key, column in asked.items()}
    return replace(
        one,
        id=found.get("id", one.id),
        group=(found["group"] or None) if "group" in found else one.group,
        gold=texts(held(found["gold"])) if "gold" in found else one.gold,
    )


def _identified(examples: Sequence[Example], given: bool) -> Sequence[Example]:
    """Each Example with an id of its own: the user's column's, the file's if they are unique, or its content's hash."""
    ids = {one.id for one in examples}
    if len(ids) == len(examples) and (given or "" not in ids):
        return examples
    taken: dict[str, int] = {}
    return pack_examples(
        replace(one, id=_fresh(one.id if given else _content_id(one.input, one.references), taken)) for one in examples
    )


def _content_id(input_: str, references: tuple[str, ...]) -> str:
    content = json.dumps([input_, *references], ensure_ascii=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()[:16]


def _fresh(raw: str, taken: dict[str, int]) -> str:
    """The id itself, or with `-2`, `-3` … where a row before has it: every row stays a row."""
    id_ = raw
    while id_ in taken:
        taken[raw] += 1
        id_ = f"{raw}-{taken[raw]}"
    taken[id_] = 1
    return id_


def json_pieces(examples: ExampleSet) -> Iterator[str]:
    """One JSON text in pieces, which `from_json` reads back: how the store keeps a set."""
    # asdict would copy every text first: three times as slow; and one text of 100,000 rows takes 50 MB
    encode = json.JSONEncoder(default=lambda one: {key.name: getattr(one, key.name) for key in fields(one)}).encode
    head = {key.name: getattr(examples, key.name) for key in fields(examples) if key.name != "examples"}
    yield encode(head)[:-1]
    yield _ROWS_BEGIN
    rows, names = iter(examples.examples), [key.name for key in fields(Example)]
    before = ""
    while block := [{name: getattr(one, name) for name in names} for one in islice(rows, ROWS_A_PIECE)]:
        yield before + encode(block)[1:-1]
        before = ", "
    yield "]}"


def from_json(pieces: Iterable[str]) -> ExampleSet:
    """What `json_pieces` wrote, in pieces of any size: neither its text nor its rows are held as a whole."""
    left, head = iter(pieces), ""
    while _ROWS_BEGIN not in head:
        head += next(left)
    head, _, begun = head.partition(_ROWS_BEGIN)
    keys = json.loads(head + "}")
    rows = map(example_of, _objects(chain((begun,), left)))
    return ExampleSet(**keys | {"mapping": Mapped(**keys["mapping"]), "examples": pack_examples(rows)})


def _objects(pieces: Iterable[str]) -> Iterator[Row]:
    """The objects of a JSON list, as they come; what ends it is left. Raises JSONDecodeError where one is cut short."""
    decoder, text = json.JSONDecoder(), ""
    for piece in pieces:
        text, at = text + piece, 0
        while (at := text.find("{", at)) >= 0:
            try:
                row, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError:  # its end is in a piece that comes
                break
            yield row
            at = end
        text = text[at:] if at >= 0 else ""
    if text:  # never a shorter set than was stored
        decoder.decode(text)
