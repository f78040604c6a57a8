"""Rows inside rows: SQuAD's questions under passages under articles, and Snips' utterances under intents."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from ftvp_core.data.formats.base import NO, SHAPE, Format, example, held, misfit, mostly, numbered, texts
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Example, Mapped


class Paragraph(NamedTuple):
    """`source` names the passage in an Example's gold and in Knowledge alike, whatever the file is called."""

    where: str
    source: str
    title: str
    text: str
    questions: list[Any]


def is_squad(table: Table) -> bool:
    return mostly(table, lambda row: isinstance(row.get("paragraphs"), list))


def paragraphs(table: Table) -> Iterator[Paragraph]:
    """Every paragraph of a SQuAD file. Raises UserError."""
    for number, (where, row) in enumerate(numbered(table), start=1):
        title = as_text(row.get("title")) or f"article {number}"
        for at, found in enumerate(_list(where, "paragraphs", row.get("paragraphs"))):
            place = f"paragraphs[{at}]"
            if not isinstance(found, dict) or not isinstance(found.get("context"), str):
                raise misfit(where, f"{place}.context", None, "the passage's text")
            text, questions = found["context"], _list(where, f"{place}.qas", found.get("qas") or [])
            yield Paragraph(f"{where}, {place}", source_of(title, text), title, text, questions)


def contexts(table: Table) -> dict[str, str]:
    """A SQuAD file's passages, each once, by the source that its questions' gold names; none of another file's."""
    if is_squad(table):
        return {paragraph.source: paragraph.text for paragraph in paragraphs(table)}
    if not mostly(table, _is_flat_squad):
        return {}
    return {example.gold[0]: example.columns["context"] for example in _flat_squad(table)}


def source_of(title: str, text: str) -> str:
    """The same passage has one name in every file, and a translation under the same title has another."""
    return f"{title}/{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _squad(table: Table) -> Iterator[Example]:
    for paragraph in paragraphs(table):
        for at, found in enumerate(paragraph.questions):
            if not isinstance(found, dict) or "question" not in found:
                raise misfit(paragraph.where, f"qas[{at}].question", None, "a question")
            answers = _list(paragraph.where, f"qas[{at}].answers", found.get("answers") or [])
            if not all(isinstance(one, dict) and "text" in one for one in answers):
                raise misfit(paragraph.where, f"qas[{at}].answers", answers, "a list of {text}")
            yield _question(found, paragraph.title, paragraph.text, [one["text"] for one in answers])


def _question(row: Row, title: str, context: str, answers: Any) -> Example:
    """A question without an answer in its passage has no reference; it stays a row."""
    impossible = as_text(row.get("is_impossible")) in {"true", "True"}
    question = as_text(row["question"])
    return example(
        row,
        question,
        () if impossible else dict.fromkeys(texts(answers)),
        leave=("answers", "plausible_answers"),
        columns={"question": question, "title": title, "context": context},
        group=title,
        gold=(source_of(title, context),),
    )


def _is_flat_squad(row: Row) -> bool:
    answers = held(row.get("answers"))
    return {"question", "context"} <= row.keys() and isinstance(answers, dict) and "text" in answers


def _flat_squad(table: Table) -> Iterator[Example]:
    """The same a question a row, its answers as {text: [...], answer_start: [...]}."""
    for number, (where, row) in enumerate(numbered(table), start=1):
        if not _is_flat_squad(row):
            raise misfit(where, "answers", row.get("answers"), "{text: […]} beside question and context")
        title = as_text(row.get("title")) or f"article {number}"
        yield _question(row, title, as_text(row["context"]), held(row["answers"])["text"])


def _is_snips(row: Row) -> bool:
    """{intent: [{data: [{text, entity?}]}]}"""
    return bool(row) and all(
        isinstance(rows, list) and rows and all(isinstance(one, dict) and set(one) == {"data"} for one in rows)
        for rows in row.values()
    )


def _snips(table: Table) -> Iterator[Example]:
    for where, row in numbered(table):
        for intent, utterances in row.items():
            for at, one in enumerate(utterances):
                chunks = _list(where, f"{intent}[{at}].data", one["data"])
                if not all(isinstance(chunk, dict) and isinstance(chunk.get("text"), str) for chunk in chunks):
                    raise misfit(where, f"{intent}[{at}].data", chunks, "a list of {text}")
                text = "".join(chunk["text"] for chunk in chunks)
                yield example({}, text, (intent,), columns={"text": text, "intent": intent})


def _list(where: str, key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise misfit(where, key, value, "a list")
    return value


SQUAD = Format(
    "squad",
    lambda table: SHAPE if is_squad(table) or mostly(table, _is_flat_squad) else NO,
    lambda table: _squad(table) if is_squad(table) else _flat_squad(table),
    lambda _: Mapped("question", group="title"),
)
SNIPS = Format(
    "snips",
    lambda table: SHAPE if mostly(table, _is_snips) else NO,
    _snips,
    lambda _: Mapped("text", "intent"),
)
FORMATS = (SQUAD, SNIPS)
