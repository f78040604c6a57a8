"""Training rows: a candidate's own prompts with their answers, as tokens, and those held out for early stopping."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.data.splits import split
from ftvp_core.errors import UserError
from ftvp_core.models.local import BadPrompt, Base, answer_ids, prompt_ids
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.learned_rows import tuning_rows
from ftvp_core.types import Given, Message

#: The label of a token that no loss is taken on.
NO_LOSS = -100

#: A row's tokens (`input_ids`) and, token for token, what is learned of them (`labels`).
Feature = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Row:
    """A training row: what is asked, by the candidate's own prompt, and the answer to learn."""

    id: str
    messages: tuple[Message, ...]
    answer: str


def training_rows(plan: Plan, at: int, lookup: Lookup, answers: Mapping[str, str] | None = None) -> list[Row]:
    """A candidate's training rows in its own prompt. A row is never among its own shots, answer and all.

    `answers`: what is learned instead of the references, by row id; rows without one are left out.
    """
    arm, sources = plan.arms[at], plan.sources
    assert arm.candidate.tune is not None and sources.train_set is not None
    examples = tuning_rows(arm.candidate.tune, sources.train_set, sources.eval_set)
    if answers is not None:
        examples = [example for example in examples if example.id in answers]
    rows = []
    for example, given in zip(examples, lookup(examples), strict=True):
        others = Given(given.passages, tuple(shot for shot in given.shots if shot[0].input != example.input))
        answer = example.references[0] if answers is None else answers[example.id]
        rows.append(Row(example.id, arm.render(example, others).messages, answer))
    return rows


def held_out(plan: Plan, at: int, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Those of `rows` (all of `training_rows`) to train on, and those to validate on: never rows of the eval set.

    Rows that repeat each other, nearly too, or that share a group stay on one side.
    """
    tune, train_set = plan.arms[at].candidate.tune, plan.sources.train_set
    assert tune is not None and train_set is not None
    share = tune.validation_share(len(rows))
    if share == 0:
        return list(rows), []
    chosen = {row.id for row in rows}  # of a student's rows those that its teacher answered well
    examples = [one for one in tuning_rows(tune, train_set, plan.sources.eval_set) if one.id in chosen]
    parts = split(replace(train_set, examples=tuple(examples)), {"train": 1 - share, "validation": share}, tune.seed)
    apart = {id(example) for example in parts["validation"]}
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row, example in zip(rows, examples, strict=True):
        sides[id(example) in apart].append(row)
    if not sides[0] or not sides[1]:  # all of them are near repeats of each other
        return list(rows), []
    return sides


def labelled(base: Base, rows: Sequence[Row], max_length: int, where: str) -> list[Feature]:
    """The rows as tokens and labels. Nothing is cut: a row that is too long is a UserError for all of them."""
    features = []
    for row in rows:
        try:
            prompt = prompt_ids(base.tokenizer, row.messages)
            answer = answer_ids(base.tokenizer, row.messages, row.answer, base.stops)
        except BadPrompt as error:
            raise UserError(where, str(error), "change the prompt, such as leaving prompt.system out") from None
        features.append({"input_ids": [*prompt, *answer], "labels": [NO_LOSS] * len(prompt) + answer})
    for limit, what, remedy in (
        (base.context or math.inf, "the model's context", "shorten the prompt, or leave these rows out"),
        (max_length, "tune.max_length", "raise tune.max_length to {longest}, or leave these rows out"),
    ):
        sizes = {row.id: len(feature["input_ids"]) for row, feature in zip(rows, features, strict=True)}
        too_long = [row_id for row_id, size in sizes.items() if size > limit]
        if too_long:
            longest = max(sizes.values())
            named = ", ".join(too_long[:3]) + (", …" if len(too_long) > 3 else "")
            raise UserError(
                where,
                f"{len(too_long)} of {len(rows)} training rows are longer than {what} of {limit} tokens"
                f" (rows {named}; the longest has {longest})",
                remedy.format(longest=longest),
            )
    return features
