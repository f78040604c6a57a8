"""Answers that the user already has, replayed by example id."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from ftvp_core.data.rows import Table, as_text, refuse_half_characters
from ftvp_core.errors import UserError
from ftvp_core.types import Answer, ExampleSet, Request, Usage

#: No answer takes more seconds, tokens or dollars.
LARGEST = 10**9
NUMBERS = ("latency_s", "input_tokens", "output_tokens", "cost_usd")


class Recorded:
    """A recorded candidate: nothing is sent, nothing is billed."""

    batch_size = 4096
    on_gpu = False
    group = None
    works = False

    def __init__(self, answers: Mapping[str, Answer], sha256: str) -> None:
        self.identity = f"recorded#{sha256}"
        self._answers = answers

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer | str]:
        return [self._answers.get(request.example.id, "no recorded answer") for request in requests]


def read_recorded(table: Table, eval_set: ExampleSet | None) -> Recorded:
    """Answers from a table with `id, output`. Raises UserError for an id that the (whole) eval set doesn't have.

    Without an eval set the ids were checked before.
    """
    for column in ("id", "output"):
        if column not in table.columns:
            raise UserError(table.path, f"found no column {column!r}", f"the columns are {', '.join(table.columns)}")
    known = {example.id for example in eval_set.examples} if eval_set else None
    refuse_half_characters(table)
    answers: dict[str, Answer] = {}
    for number, row in enumerate(table.rows, start=1):
        id_, where = as_text(row.get("id")), f"{table.path}, row {number}"
        if id_ in answers:
            raise UserError(where, f"the id {id_!r} stands twice", "keep one answer an example")
        if known is not None and id_ not in known:
            raise UserError(where, f"found id {id_!r}, which isn't in the eval set", "use the eval set's ids")
        if row.get("output") is not None:
            latency, input_, output, cost = (_number(row.get(name), f"{where}, {name}") for name in NUMBERS)
            answers[id_] = Answer(
                as_text(row["output"]),
                Usage(_int(input_), None, _int(output)),
                float(latency) if latency is not None else None,
                cost_usd=cost,
            )
    return Recorded(answers, table.sha256)


def _number(value: object, where: str) -> Decimal | None:
    text = as_text(value).strip()
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number < LARGEST:
        raise UserError(where, f"found {text!r}, expected a number from 0 to under a billion")
    return number


def _int(value: Decimal | None) -> int | None:
    return None if value is None else int(value)
