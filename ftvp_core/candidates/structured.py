"""An output schema for a server that has no JSON mode of its own: in the prompt, with one repair."""

import json
from dataclasses import replace

from ftvp_core.types import Message, Request

ASKED = "Answer with JSON alone: no other text, no code fence. The JSON must be valid by this JSON Schema:\n{schema}"
REPAIR = (
    "Your answer can't be used: {problem}. Answer the same question again, with nothing but the JSON"
    " that is valid by the schema."
)


def prompted(request: Request) -> Request:
    """The request with its schema in plain words at the end of the system prompt, and no longer beside it."""
    asked = ASKED.format(schema=json.dumps(request.output_schema, ensure_ascii=False))
    first, *rest = request.messages
    if first.role == "system":
        messages = (Message("system", f"{first.content}\n\n{asked}"), *rest)
    else:
        messages = (Message("system", asked), *request.messages)
    return replace(request, messages=messages, output_schema=None)


def repairing(asked: Request, output: str, problem: str) -> Request:
    """What follows an invalid answer to a prompted request: the answer, and what is wrong with it."""
    said = Message("assistant", output if output.strip() else "(nothing)")
    return replace(asked, messages=(*asked.messages, said, Message("user", REPAIR.format(problem=problem))))
