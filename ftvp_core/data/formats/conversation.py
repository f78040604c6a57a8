"""Turns as chat formats write them, told apart: system, what came before, what is asked, what was answered.

Tool turns are kept as text: a call as the JSON of its name and arguments, a result as a user's turn with a mark.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ftvp_core.data.formats.base import as_json, held, misfit
from ftvp_core.data.rows import as_text
from ftvp_core.schemas import parsed
from ftvp_core.types import Message, Role

RESULT_MARK = "[tool result]"

#: Each format's name for who speaks. A tool's turn is the user's, with the mark before it.
ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "tool": "user", "function": "user", "observation": "user",
    "function_response": "user", "ipython": "user",
    "assistant": "assistant", "gpt": "assistant", "ai": "assistant", "model": "assistant", "bot": "assistant",
    "chatgpt": "assistant", "function_call": "assistant",
}  # fmt: skip
RESULTS = {"tool", "function", "observation", "function_response", "ipython"}


@dataclass(frozen=True, slots=True)
class Turn:
    """`reference`: whether an answer may be taken for one (OpenAI's `weight: 0` says no)."""

    role: Role
    text: str
    reference: bool = True


def is_turns(value: Any, role: str = "role") -> bool:
    """Whether a cell holds a list of turns that name their speaker."""
    found = held(value)
    return isinstance(found, list) and bool(found) and all(isinstance(one, dict) and role in one for one in found)


def turns_of(where: str, key: str, value: Any, role: str = "role", content: str = "content") -> list[Turn]:
    """The turns of a cell, neighbouring answers joined. Raises UserError naming the row, the key and the turn."""
    found = held(value)
    if not isinstance(found, list):
        raise misfit(where, key, found, "a list of turns")
    turns: list[Turn] = []
    for at, one in enumerate(found):
        place = f"{key}[{at}]"
        if not isinstance(one, dict):
            raise misfit(where, place, one, f"an object with {role} and {content}")
        said = as_text(one.get(role))
        if said not in ROLES:
            raise misfit(where, f"{place}.{role}", one.get(role), f"one of {', '.join(ROLES)}")
        text = _text(where, f"{place}.{content}", one.get(content), one)
        if said in RESULTS:
            text = f"{RESULT_MARK} {text}"
        _add(turns, Turn(ROLES[said], text, as_text(one.get("weight")) not in {"0", "0.0"}))
    return turns


def conversation(turns: Iterable[Turn], system: str = "") -> tuple[str, str | None, dict[str, Any]]:
    """The input, the answer that is the reference, and the Example's other parts.

    The answer is the last one of the conversation that may be a reference; a conversation that ends with its user
    has none. An answer that may not be one is what the file recorded.
    """
    asked = list(turns)
    answer = recorded = None
    if asked and asked[-1].role == "assistant":
        answers = [at for at, turn in enumerate(asked) if turn.role == "assistant"]
        fit = [at for at in answers if asked[at].reference]
        answer, recorded = (asked[fit[-1]].text, None) if fit else (None, asked[-1].text)
        asked = asked[: fit[-1] if fit else answers[-1]]
    heads = [system] if system else []
    while asked and asked[0].role == "system":
        heads.append(asked.pop(0).text)
    last = max((at for at, turn in enumerate(asked) if turn.role == "user"), default=None)
    # What stands between the last question and the answer (a reminder, an answer begun) is asked with the question.
    input_ = "" if last is None else "\n\n".join(turn.text for turn in asked[last:])
    history = tuple(Message(turn.role, turn.text) for turn in asked[:last])
    return input_, answer, {"system": "\n\n".join(heads) or None, "history": history, "recorded": recorded}


def prompt_of(turns: Iterable[Turn], system: str = "") -> tuple[str, dict[str, Any]]:
    """The input and the other parts of turns that are all asked: an answer at their end is none to be compared with."""
    input_, _, parts = conversation([*turns, Turn("assistant", "")], system)
    return input_, parts


def _add(turns: list[Turn], turn: Turn) -> None:
    if turns and turn.role == turns[-1].role == "assistant":
        before = turns.pop()
        turn = Turn("assistant", f"{before.text}\n\n{turn.text}", before.reference or turn.reference)
    turns.append(turn)


def _text(where: str, place: str, value: Any, turn: dict[str, Any]) -> str:
    """A turn's text: its own, its text parts', and the tools that it calls."""
    found = turn.get("tool_calls") if isinstance(turn.get("tool_calls"), list) else [turn.get("function_call")]
    named = [one.get("function", one) if isinstance(one, dict) else one for one in found or ()]
    calls = [_call(one) for one in named if isinstance(one, dict)]
    if value is None and not calls and turn.get("refusal") is None:
        raise misfit(where, place, None, "text")
    pieces = [_part(where, place, value if value is not None else turn.get("refusal") or "")]
    return "\n".join(piece for piece in (*pieces, *calls) if piece)


def _part(where: str, place: str, value: Any) -> str:
    """The text of a content: itself, a list's parts joined, or a part's text. Raises UserError for an image."""
    if isinstance(value, list):
        return "\n".join(_part(where, f"{place}[{at}]", one) for at, one in enumerate(value))
    if not isinstance(value, dict):
        return as_text(value)
    for key in ("text", "refusal", "json"):
        if key in value:
            return value[key] if isinstance(value[key], str) else as_json(value[key])
    kind = as_text(value.get("type")) or next(iter(value), "nothing")
    inner = value[kind] if isinstance(value.get(kind), dict) else value
    if kind in {"tool_use", "toolUse"}:
        return _call(inner)
    if kind in {"tool_result", "toolResult"}:
        return f"{RESULT_MARK} {_part(where, place, inner.get('content', ''))}"
    raise misfit(where, place, kind, "text: the product compares text alone")


def _call(call: dict[str, Any]) -> str:
    """A tool's call as JSON. Arguments that are JSON already keep their spelling."""
    arguments = call.get("arguments", call.get("input", {}))
    spelled = arguments if isinstance(arguments, str) and parsed(arguments)[0] else as_json(arguments)
    return f'{{"name": {as_json(call.get("name"))}, "arguments": {spelled}}}'
