"""A candidate's prompt, rendered for one example: system, shots as turns, a conversation's turns, user.

Pure: what is looked up is given.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate
from ftvp_core.types import Example, ExampleSet, Given, Message, Passage, Request

#: `{{` and `}}` are braces, `{name}` is a column.
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")

Render = Callable[[Example, Given], Request]


def fields(template: str) -> tuple[str, ...]:
    """The columns that a template names."""
    return tuple(match[1] for match in _FIELD.finditer(template) if match[1] is not None)


def fill(template: str, columns: Mapping[str, str]) -> str:
    """The template with its columns' text. Raises KeyError."""

    def one(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else columns[match[1]]

    return _FIELD.sub(one, template)


def without_context(template: str) -> str:
    """The template for a prompt that retrieves nothing."""
    return _FIELD.sub(lambda match: "" if match[1] == "context" else match[0], template).strip()


def context_text(passages: Sequence[Passage]) -> str:
    """What `{context}` stands for."""
    return "\n\n".join(passage.text for passage in passages)


def renderer(candidate: Candidate, where: str, eval_set: ExampleSet) -> Render:
    """What turns an example, and what was looked up for it, into this candidate's Request.

    Raises UserError for a template that names no column, before any call.
    """
    known = {"input"} | {column for example in eval_set.examples[:1] for column in example.columns}
    user = candidate.prompt.user
    if candidate.retrieval:
        known.add("context")
        if "context" not in fields(user):
            user = f"{{context}}\n\n{user}"
    for part, template in (("system", candidate.prompt.system or ""), ("user", user)):
        for name in fields(template):
            if name not in known:
                raise UserError(
                    f"{where}.prompt.{part}",
                    f"found no column {name!r}",
                    f"the columns are {', '.join(sorted(known))}; write {{{{ for a brace",
                )
    sampling = candidate.sampling

    def columns(example: Example, passages: Sequence[Passage]) -> Mapping[str, str]:
        found = _columns(example, eval_set)
        if candidate.retrieval:  # whatever a column of that name holds: it may hold the very passage to be found
            found["context"] = context_text(passages)
        return found

    def turn(example: Example, passages: Sequence[Passage]) -> Message:
        return Message("user", fill(user, columns(example, passages)))

    def render(example: Example, given: Given) -> Request:
        messages = []
        if candidate.prompt.system:
            messages.append(Message("system", fill(candidate.prompt.system, columns(example, given.passages))))
        elif example.system:  # the row's own, where the candidate has none
            messages.append(Message("system", example.system))
        for shot, passages in given.shots:
            messages += [turn(shot, passages), Message("assistant", shot.references[0])]
        messages += [*example.history, turn(example, given.passages)]
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
            passages=given.passages,
            shots=given.shots,
        )

    return render


def sent_text(request: Request) -> str:
    """All that a server is given to read, as one text: the prompt, and the schema beside it."""
    schema = "" if request.output_schema is None else json.dumps(request.output_schema, ensure_ascii=False)
    return as_json(request.messages) + schema


def check_same_system(candidate: Candidate, where: str, rows: Sequence[Example], eval_set: ExampleSet) -> None:
    """Raises UserError where training rows bring a system prompt that the tuned model would be asked without."""
    own = candidate.prompt.system
    if own:
        differ = [row for row in rows if row.system and _folded(row.system) != _folded(own) and not fields(own)]
        said, remedy = "another system prompt than prompt.system", "make them the same, or leave prompt.system out"
    else:
        asked_with = any(example.system for example in eval_set.examples)
        differ = [row for row in rows if bool(row.system) != asked_with]
        said = (
            "no system prompt, and the eval set's have one"
            if asked_with
            else "a system prompt, and the eval set's none"
        )
        remedy = "give the candidate a prompt.system for both"
    if differ:
        named = ", ".join(row.id for row in differ[:3]) + (", …" if len(differ) > 3 else "")
        raise UserError(
            where,
            f"{len(differ)} of {len(rows)} training rows have {said} (rows {named}): it would be trained otherwise than"
            " it is asked",
            remedy,
        )


def check_trained_system(candidate: Candidate, where: str, trained: Sequence[str | None], eval_set: ExampleSet) -> None:
    """Raises UserError where an adapter would be asked with another system prompt than it was trained with.

    `trained`: those of its training rows, None for a row without one; several where they differ by row.
    """
    own = candidate.prompt.system
    asked = {own} if own else {example.system or None for example in eval_set.examples}
    known = {text and _folded(text) for text in trained}, {text and _folded(text) for text in asked}
    differs_by_row = any(len(texts) > 1 for texts in known) or bool(own and fields(own))
    if known[0] == known[1] or (differs_by_row and (None in known[0]) == (None in known[1])):
        return
    raise UserError(
        f"{where}.adapter",
        f"was trained with {_named(trained)} and would be asked with {_named(list(asked))}",
        "give it the prompt.system that it was trained with",
    )


def _named(systems: Sequence[str | None]) -> str:
    """System prompts in a few words."""
    first = next((text for text in systems if text), None)
    if first is None:
        return "no system prompt"
    shown = first if len(first) <= 60 else f"{first[:57]}…"
    return f"the system prompt {' '.join(shown.split())!r}{' and others' if len(systems) > 1 else ''}"


def _folded(text: str) -> str:
    return " ".join(text.split())


#: Made once: `json.dumps` would make one for each prompt, and several times.
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_json(messages: Sequence[Message]) -> str:
    """The rendered prompt as one text: what is cached by, counted and shown."""
    return _compact([{"role": message.role, "content": message.content} for message in messages])


class _Columns(dict[str, str]):
    def __missing__(self, name: str) -> str:
        raise UserError("a training row", f"has no column {name!r}, which the prompt names")


def _columns(example: Example, eval_set: ExampleSet) -> _Columns:
    """A training row's input and reference also stand under the eval set's names for them."""
    columns = _Columns({"input": example.input, **example.columns})
    columns.setdefault(eval_set.mapping.input, example.input)
    if eval_set.mapping.reference and example.references:
        columns.setdefault(eval_set.mapping.reference, example.references[0])
    return columns
