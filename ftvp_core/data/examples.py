"""Rows to Examples: which column is what, which rows are taken, and each row's id."""

import hashlib
import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ftvp_core.data.rows import Row, Table, as_text, refuse_half_characters
from ftvp_core.errors import UserError
from ftvp_core.spec import TrainSetSpec
from ftvp_core.types import Assertion, Example, ExampleSet, Mapped, Message

#: Names by convention, the surest first; then the same words in Korean, German and Arabic.
INPUT_NAMES = (
    "input", "question", "query", "prompt", "text", "instruction", "utterance", "sentence", "ticket", "message",
    "질문", "입력", "문장", "텍스트", "frage", "eingabe", "anfrage", "سؤال", "السؤال", "نص", "النص",
)  # fmt: skip
REFERENCE_NAMES = (
    "reference", "references", "answer", "answers", "expected", "expected_output", "ideal", "target", "label", "output",
    "completion", "intent", "category", "class",
    "답", "답변", "정답", "라벨", "레이블", "분류", "antwort", "kategorie", "ausgabe", "جواب", "الجواب", "إجابة", "الإجابة",
    "تصنيف", "التصنيف",
)  # fmt: skip


def to_examples(table: Table, spec: TrainSetSpec) -> ExampleSet:
    """Map all of a table's rows. Raises UserError."""
    mapping = _mapping(table, spec)
    if not table.rows:
        raise UserError(table.path, "found no rows", "give it at least one")
    refuse_half_characters(table)
    examples = _examples(table.rows, mapping)
    return ExampleSet(Path(table.path).name, table.sha256, table.format, table.encoding, mapping, tuple(examples))


def sampled(examples: ExampleSet, limit: int | None, seed: int) -> ExampleSet:
    """A seeded sample of `limit` rows, in the file's order; all of them when there are no more."""
    rows = examples.examples
    if limit is None or limit >= len(rows):
        return examples
    return replace(
        examples, examples=tuple(rows[at] for at in sorted(random.Random(seed).sample(range(len(rows)), limit)))
    )


def recognise(columns: Iterable[str]) -> tuple[str | None, str | None]:
    """The input's and the reference's column by their names; None where no name fits."""
    by_folded = {column.strip().casefold(): column for column in columns}
    input_ = next((by_folded[name] for name in INPUT_NAMES if name in by_folded), None)
    reference = next(
        (by_folded[name] for name in REFERENCE_NAMES if name in by_folded and by_folded[name] != input_), None
    )
    return input_, reference


def _mapping(table: Table, spec: TrainSetSpec) -> Mapped:
    asked = {key: getattr(spec, key, None) for key in ("input", "reference", "id", "group", "gold")}
    for key, column in asked.items():
        if column is not None and column not in table.columns:
            raise UserError(
                table.path,
                f"{key}: found no column {column!r}",
                f"the columns are {', '.join(table.columns) or 'none'}",
            )
    by_name = recognise(column for column in table.columns if column not in asked.values())
    input_ = asked["input"] or by_name[0]
    if input_ is None:
        raise UserError(
            table.path, f"no column is recognised as the input among {', '.join(table.columns)}", "name it with input"
        )
    return Mapped(
        input=input_,
        reference=asked["reference"] or by_name[1],
        id=asked["id"] or _own_id(table),
        group=asked["group"],
        gold=asked["gold"],
        tags="tags" if "tags" in table.columns else None,
    )


def _own_id(table: Table) -> str | None:
    if "id" not in table.columns:
        return None
    ids = [as_text(row.get("id")) for row in table.rows]
    return "id" if len(set(ids)) == len(ids) and "" not in ids else None


def _examples(rows: Iterable[Row], mapping: Mapped) -> list[Example]:
    taken: dict[str, int] = {}
    examples = []
    for row in rows:
        input_ = as_text(row.get(mapping.input))
        references = _texts(row.get(mapping.reference)) if mapping.reference else ()
        raw = as_text(row.get(mapping.id)) if mapping.id else _content_id(input_, references)
        examples.append(
            Example(
                id=_fresh(raw, taken),
                input=input_,
                references=references,
                columns={column: as_text(value) for column, value in row.items()},
                group=(as_text(row.get(mapping.group)) or None) if mapping.group else None,
                tags=_tags(row.get(mapping.tags)) if mapping.tags else (),
                gold=_texts(row.get(mapping.gold)) if mapping.gold else (),
            )
        )
    return examples


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


def _texts(value: Any) -> tuple[str, ...]:
    """The references of a cell: a JSON list holds several; an empty cell or null holds none."""
    values = value if isinstance(value, list) else [value]
    return tuple(as_text(one) for one in values if one is not None and one != "")


def _tags(value: Any) -> tuple[str, ...]:
    parts = [as_text(one) for one in value] if isinstance(value, list) else re.split(r"[,;|]", as_text(value))
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def to_json(examples: ExampleSet) -> str:
    """One text that `from_json` reads back: how the store keeps a set."""
    return json.dumps(asdict(examples), ensure_ascii=True)


def from_json(text: str) -> ExampleSet:
    keys = json.loads(text)
    rows = tuple(example_of(row) for row in keys.pop("examples"))
    return ExampleSet(**{**keys, "mapping": Mapped(**keys["mapping"]), "examples": rows})


def example_of(row: Mapping[str, Any]) -> Example:
    """The Example that `asdict` made this of."""
    texts = {key: tuple(row[key]) for key in ("references", "tags", "gold")}
    history = tuple(Message(*turn) for turn in row.get("history", ()))
    assertions = tuple(Assertion(**one) for one in row.get("assertions", ()))
    return Example(**{**row, **texts, "history": history, "assertions": assertions})
