"""A prompt's tokens and an answer's, made by one function for answering and for training."""

from collections.abc import Sequence
from typing import Any

from ftvp_core.types import Message

#: For a tokenizer without a chat template: each turn as a paragraph with its role, the answer's turn left open.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """A prompt's tokens, up to where the answer begins: the same for answering and for training.

    Control tokens inside the messages are encoded as text: data can't end its turn. Raises BadPrompt.
    """
    return _templated(tokenizer, messages, add_generation_prompt=True)


def answer_ids(tokenizer: Any, messages: Sequence[Message], answer: str, stops: set[int]) -> list[int]:
    """The tokens that should follow `prompt_ids`: the answer as the template writes it, with its end token."""
    prompt = prompt_ids(tokenizer, messages)
    whole = _templated(tokenizer, [*messages, Message("assistant", answer)], add_generation_prompt=False)
    if whole[: len(prompt)] == prompt:
        rest = whole[len(prompt) :]
        ends = next((at for at, token in enumerate(rest) if token in stops), None)
        if ends is not None:
            return rest[: ends + 1]
    else:  # a template that opens an answer otherwise than it shows one, such as with a begun thought
        rest = tokenizer.encode(answer, add_special_tokens=False)
    return [*rest, tokenizer.eos_token_id]


class BadPrompt(ValueError):
    """The model's chat template refuses these messages; the text says why."""


def _templated(tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
    from jinja2 import TemplateError

    own = tokenizer.chat_template is not None
    try:
        ids: list[int] = tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            chat_template=None if own else PLAIN_TEMPLATE,
            add_generation_prompt=add_generation_prompt,
            sanitize_control_tokens=True,
            return_dict=False,
        )
    except TemplateError as error:
        todo = "; if it knows no system prompt, begin `user` with it" if messages[0].role == "system" else ""
        raise BadPrompt(f"the model's chat template refuses this prompt ({error}){todo}") from None
    ids = ids if own else [*_opening(tokenizer), *ids]
    if not ids:
        raise BadPrompt("the model's chat template makes no tokens of this prompt")
    return ids


def _opening(tokenizer: Any) -> list[int]:
    """The token that the tokenizer itself puts before a text, if it does."""
    return [token for token in tokenizer.encode("")[:1] if token == tokenizer.bos_token_id]
