"""Plain columns, recognised by names that people give them."""

from collections.abc import Iterable, Iterator, Mapping

from ftvp_core.data.formats.base import NAMES, NO, Format, recorded_of, tags_of, texts
from ftvp_core.data.rows import Table, as_text
from ftvp_core.types import Example, Mapped

#: Names by convention, the surest first; then the same words in Korean, German and Arabic.
INPUT_NAMES = (
    "input", "question", "query", "prompt", "user_input", "text", "instruction", "utterance", "sentence", "ticket",
    "message",
    "질문", "입력", "문장", "텍스트", "frage", "eingabe", "anfrage", "سؤال", "السؤال", "نص", "النص",
)  # fmt: skip
REFERENCE_NAMES = (
    "reference", "references", "ground_truth", "ground_truths", "answer", "answers", "expected", "expected_output",
    "expectedoutput", "expected_response", "ideal", "target", "label", "output", "completion", "intent", "category",
    "class", "answer_matching_behavior",
    "답", "답변", "정답", "라벨", "레이블", "분류", "antwort", "kategorie", "ausgabe", "جواب", "الجواب", "إجابة", "الإجابة",
    "تصنيف", "التصنيف",
)  # fmt: skip
#: What a model already answered. `output` is one only beside a reference of another name.
RECORDED_NAMES = ("actual_output", "actualoutput", "response", "outputs", "model_output", "prediction", "output")


def recognise(columns: Iterable[str]) -> tuple[str | None, str | None]:
    """The input's and the reference's column by their names; None where no name fits."""
    by_folded = _folded(columns)
    input_ = next((by_folded[name] for name in INPUT_NAMES if name in by_folded), None)
    reference = next(
        (by_folded[name] for name in REFERENCE_NAMES if name in by_folded and by_folded[name] != input_), None
    )
    return input_, reference


def one_of(cells: Mapping[str, str]) -> str:
    """What is asked of several texts by name: the only one, the one named as inputs are, or all of them with names."""
    only = recognise(cells)[0] or (next(iter(cells)) if len(cells) == 1 else None)
    return cells[only] if only else "\n".join(f"{name}: {text}" for name, text in cells.items())


def recorded_column(columns: Iterable[str], taken: Iterable[str | None]) -> str | None:
    """The column of recorded answers, if none of the `taken` ones is it."""
    by_folded = _folded(column for column in columns if column not in set(taken))
    return next((by_folded[name] for name in RECORDED_NAMES if name in by_folded), None)


def named(columns: Iterable[str], *names: str) -> str | None:
    """The first of the names that is a column."""
    found = set(columns)
    return next((name for name in names if name in found), None)


def mapped(table: Table) -> Mapped:
    """The columns' parts by name; `input` is "" where no name fits."""
    input_, reference = recognise(table.columns)
    return Mapped(input_ or "", reference, tags=named(table.columns, "tags"))


def read(table: Table, mapping: Mapped) -> Iterator[Example]:
    """An Example a row, by the mapping. Its id is "" without a column of ids."""
    recorded = recorded_column(table.columns, (mapping.input, mapping.reference))
    for row in table.rows:
        yield Example(
            id=as_text(row.get(mapping.id)) if mapping.id else "",
            input=as_text(row.get(mapping.input)),
            references=texts(row.get(mapping.reference)) if mapping.reference else (),
            columns={column: as_text(value) for column, value in row.items()},
            group=(as_text(row.get(mapping.group)) or None) if mapping.group else None,
            tags=tags_of(row.get(mapping.tags)) if mapping.tags else (),
            gold=texts(row.get(mapping.gold)) if mapping.gold else (),
            recorded=recorded_of(row.get(recorded)) if recorded else None,
        )


def _folded(columns: Iterable[str]) -> dict[str, str]:
    return {column.strip().casefold(): column for column in columns}


COLUMNS = Format(
    "columns",
    lambda table: NAMES if recognise(table.columns)[0] else NO,
    lambda table: read(table, mapped(table)),
    mapped,
)
