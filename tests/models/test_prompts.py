"""Chat templates as they are found: what is sent is what the model was made for, and what is counted is what is sent."""

from pathlib import Path
from typing import Any

import pytest

from ftvp_core.models.local import BadPrompt, Local, answer_ids, open_model, prompt_ids
from ftvp_core.types import Answer, Example, Message, Request
from tests.tiny_model import CHAT_TEMPLATE, END, make_model

TURN = "{{ '<|' + m.role + '|>' + m.content | trim + '<|end|>' }}"
OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
#: Gemma's: no system prompt, and turns that alternate.
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    + TURN
    + "{% endfor %}"
    + OPEN
)
#: Qwen 2.5's: a system prompt of its own where none is given.
QWEN = (
    "{% if messages[0].role != 'system' %}<|system|>You help.<|end|>{% endif %}{% for m in messages %}"
    + TURN
    + "{% endfor %}"
    + OPEN
)
USER = (Message("user", "hi"),)
SYSTEM = (Message("system", "Be brief."), *USER)
SHOTS = (Message("user", "1?"), Message("assistant", "2"), Message("user", "3?"), Message("assistant", "4"), *USER)


def tokenizer(template: str | None, *, bos: bool = False) -> Any:
    """`bos`: it puts its beginning before every text, as Llama's and Gemma's do."""
    from tokenizers.processors import TemplateProcessing

    from tests.tiny_model import _tokenizer

    made = _tokenizer()
    made.chat_template = template
    if bos:
        made.add_special_tokens({"bos_token": "<s>"})
        made._tokenizer.post_processor = TemplateProcessing("<s> $A", special_tokens=[("<s>", made.bos_token_id)])
    return made


def shown(made: Any, messages: tuple[Message, ...]) -> str:
    text: str = made.decode(prompt_ids(made, messages))
    return text


@pytest.mark.parametrize("bos", [False, True])
def test_a_text_begins_once(bos: bool) -> None:
    beginning = "<s>" if bos else ""
    assert shown(tokenizer(GEMMA, bos=bos), USER) == f"{beginning}<|user|>hi<|end|><|assistant|>"
    assert shown(tokenizer(None, bos=bos), USER) == f"{beginning}User: hi\n\nAssistant:"
    # A template that writes none is the model's own word for it.
    assert shown(tokenizer(CHAT_TEMPLATE, bos=bos), USER) == "<|user|>hi<|end|><|assistant|>"


def test_shots_are_turns_in_every_template() -> None:
    turns = "<|user|>1?<|end|><|assistant|>2<|end|><|user|>3?<|end|><|assistant|>4<|end|><|user|>hi<|end|><|assistant|>"
    assert shown(tokenizer(GEMMA, bos=True), SHOTS) == f"<s>{turns}"
    assert shown(tokenizer(QWEN), SHOTS) == f"<|system|>You help.<|end|>{turns}"
    assert shown(tokenizer(None), SHOTS) == (
        "User: 1?\n\nAssistant: 2<|end|>\n\nUser: 3?\n\nAssistant: 4<|end|>\n\nUser: hi\n\nAssistant:"
    )


@pytest.mark.parametrize("template", [GEMMA, QWEN, CHAT_TEMPLATE, None])
def test_what_is_trained_goes_on_where_the_prompt_ends(template: str | None) -> None:
    made = tokenizer(template, bos=True)
    prompt, answer = prompt_ids(made, SHOTS), answer_ids(made, SHOTS, "환불 5", {END})
    assert made.decode([*prompt, *answer]).endswith(
        "hi<|end|><|assistant|>환불 5<|end|>" if template else ": 환불 5<|end|>"
    )
    assert answer.count(END) == 1


def test_a_system_prompt_that_a_template_refuses_is_not_moved_silently() -> None:
    with pytest.raises(
        BadPrompt, match=r"System role not supported\); if it knows no system prompt, begin `user` with it"
    ):
        prompt_ids(tokenizer(GEMMA), SYSTEM)
    with pytest.raises(BadPrompt, match=r"must alternate .*\.\.\.\)$"):
        prompt_ids(tokenizer(GEMMA), USER + USER)


@pytest.mark.parametrize("broken", ["{% for m in messages %}", "{{ messages[0].content.nope() }}", "{{ nothing }}"])
def test_a_broken_template_is_the_row_s_failure(broken: str) -> None:
    with pytest.raises(BadPrompt, match=r"the model's chat template (refuses this prompt|makes no tokens)"):
        prompt_ids(tokenizer(broken), USER)


@pytest.mark.parametrize(("template", "messages"), [(QWEN, USER), (QWEN, SHOTS), (GEMMA, SHOTS), (None, SYSTEM)])
def test_what_is_counted_is_what_reaches_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str | None, messages: tuple[Message, ...]
) -> None:
    model = open_model(str(make_model(tmp_path, template=template)), None, {})
    seen = prompts_seen(model, monkeypatch)
    requests = [Request(Example("1", "hi", ("x",), {}), messages, max_tokens=1), ask_longer(messages)]
    found = model.answer_batch(requests)
    assert [one.usage.input for one in found if isinstance(one, Answer)] == seen
    assert seen == [len(model.prompt_ids(request)) for request in requests]


def ask_longer(messages: tuple[Message, ...]) -> Request:
    longer = (*messages[:-1], Message("user", "hi there"))
    return Request(Example("2", "hi there", ("x",), {}), longer, max_tokens=1)


def prompts_seen(model: Local, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens, padding apart, of each row whose answer is computed, the shorter first."""
    assert model.group.base.shareable_columns > 0
    forward, seen = model.group.base.model.forward, []

    def noted(**inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 1:
            seen.extend(sorted(inputs["attention_mask"].sum(dim=1).tolist()))
        return forward(**inputs)

    monkeypatch.setattr(model.group.base.model, "forward", noted)
    return seen
