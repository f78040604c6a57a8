"""A candidate's prompt, rendered for one example: system, shots as turns, user."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence

from ftvp_core.data.checks import without_leaks
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate
from ftvp_core.types import Example, ExampleSet, Message, Request

#: `{{` and `}}` are braces, `{name}` is a column.
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")

Render = Callable[[Example], Request]


def fields(template: str) -> tuple[str, ...]:
    """The columns that a template names."""
    return tuple(match[1] for match in _FIELD.finditer(template) if match[1] is not None)


def fill(template: str, columns: Mapping[str, str]) -> str:
    """The template with its columns' text. Raises KeyError."""

    def one(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else columns[match[1]]

    return _FIELD.sub(one, template)


def renderer(candidate: Candidate, where: str, eval_set: ExampleSet, train_set: ExampleSet | None, seed: int) -> Render:
    """What turns an example into this candidate's Request. Raises UserError, before any call.

    Random shots are drawn once, with `seed`, for all examples: they are part of the prompt, so a provider
    can cache them. Rows that stand in the eval set are never shown.
    """
    known = {"input"} | {column for example in eval_set.examples[:1] for column in example.columns}
    for part in ("system", "user"):
        for name in fields(getattr(candidate.prompt, part) or ""):
            if name not in known:
                raise UserError(
                    f"{where}.prompt.{part}",
                    f"found no column {name!r}",
                    f"the columns are {', '.join(sorted(known))}; write {{{{ for a brace",
                )
    shots = _shots(candidate, where, eval_set, train_set, seed)
    prefix = [Message("system", candidate.prompt.system)] if candidate.prompt.system else []
    sampling = candidate.sampling

    def render(example: Example) -> Request:
        messages = [_rendered(message, example, eval_set) for message in prefix]
        for shot in shots:
            messages.append(_rendered(Message("user", candidate.prompt.user), shot, train_set or eval_set, eval_set))
            messages.append(Message("assistant", shot.references[0]))
        messages.append(_rendered(Message("user", candidate.prompt.user), example, eval_set))
        return Request(
            example,
            tuple(messages),
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=sampling.stop or (),
            stream=sampling.stream,
            output_schema=candidate.output_schema,
        )

    return render


def as_json(messages: Sequence[Message]) -> str:
    """The rendered prompt as one text: what is cached by, counted and shown."""
    return json.dumps([message._asdict() for message in messages], ensure_ascii=False, separators=(",", ":"))


def _rendered(message: Message, example: Example, source: ExampleSet, target: ExampleSet | None = None) -> Message:
    """`target` is given for a shot: its input then also stands under the eval set's name for the input."""
    columns = {"input": example.input, **example.columns}
    if target is not None:
        columns.setdefault(target.mapping.input, example.input)
        if target.mapping.reference and example.references:
            columns.setdefault(target.mapping.reference, example.references[0])
    try:
        return Message(message.role, fill(message.content, columns))
    except KeyError as error:
        raise UserError(
            f"{source.name}, row {example.id!r}", f"has no column {error.args[0]!r}, which the prompt names"
        ) from None


def _shots(
    candidate: Candidate, where: str, eval_set: ExampleSet, train_set: ExampleSet | None, seed: int
) -> Sequence[Example]:
    if candidate.shots is None or candidate.shots.k == 0 or train_set is None:
        return ()
    pool = [example for example in without_leaks(train_set, eval_set) if example.references]
    if len(pool) < candidate.shots.k:
        raise UserError(
            f"{where}.shots.k",
            f"found {candidate.shots.k}; {train_set.name} has {len(pool)} rows with a reference that aren't in the eval set",
        )
    # One shuffle, then the first k: a sweep over k adds shots and keeps those it had.
    return random.Random(seed).sample(pool, len(pool))[: candidate.shots.k]
