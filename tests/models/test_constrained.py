"""Answers of a local model that are valid by construction, whatever the model would rather say."""

import json
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.models.constrained import check_constrainable
from ftvp_core.models.local import DEMO, Local, open_model
from ftvp_core.schemas import Schema
from ftvp_core.types import Answer, Example, Message, Request
from tests.tiny_model import make_model

CARD: dict[str, Any] = {
    "type": "object",
    "properties": {"card": {"enum": ["team lead", "cost centre", "door code"]}, "answer": {"type": "string"}},
    "required": ["card", "answer"],
    "additionalProperties": False,
}
LABELS: dict[str, Any] = {"enum": ["환불", "배송 지연", "Rückgabe", "استرداد"]}
NESTED: dict[str, Any] = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "integer", "minimum": -9, "maximum": 9}, "minItems": 1, "maxItems": 3},
    "minItems": 2,
    "maxItems": 3,
}
KOREAN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "이름": {"type": "string", "pattern": "^[가-힣]{2,4}$"},
        "점수": {"anyOf": [{"$ref": "#/$defs/점"}, {"type": "null"}]},
    },
    "required": ["이름", "점수"],
    "additionalProperties": False,
    "$defs": {"점": {"type": "integer", "minimum": 0, "maximum": 100}},
}


def asked(schema: Any, text: str = "질문: 무엇인가요?", **options: Any) -> Request:
    return Request(
        Example("x", text, (), {}), (Message("user", text),), output_schema=schema, **{"max_tokens": 160, **options}
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return open_model(str(make_model(tmp_path_factory.mktemp("tiny"), context=1024)), None, {})


@pytest.fixture(scope="module")
def demo() -> Local:
    return open_model("demo", None, {})


def answers(model: Local, requests: list[Request]) -> list[Answer]:
    found = model.answer_batch(requests)
    assert all(isinstance(answer, Answer) for answer in found), found
    return [answer for answer in found if isinstance(answer, Answer)]


@pytest.mark.parametrize("which", ["tiny", "demo"])
@pytest.mark.parametrize(
    "schema", [LABELS, NESTED, KOREAN], ids=["labels in four scripts", "nested arrays", "Korean strings"]
)
def test_every_draw_is_valid(which: str, schema: Any, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    requests = [asked(schema, temperature=3.0, seed=seed) for seed in range(12)]
    found = answers(model, requests)
    checked = Schema(schema, "test")
    assert [checked.problem(one.output) for one in found] == [None] * 12
    assert {one.finish_reason for one in found} == {"stop"}
    assert len({one.output for one in found}) > 1


def test_the_demo_model_fills_in_its_card(demo: Local) -> None:
    requests = [asked(CARD, f"Card: What is the door code which {name} uses?", max_tokens=96) for name in "ABCD"]
    found = answers(demo, requests)
    checked = Schema(CARD, "test")
    for one in found:
        assert checked.problem(one.output) is None or one.finish_reason == "length"
    assert sum(checked.problem(one.output) is None for one in found) >= 3


def test_rows_of_several_schemas_and_none_go_together(tiny: Local) -> None:
    free = asked(None, max_tokens=20)
    alone = answers(tiny, [free])[0].output
    mixed = answers(tiny, [asked(LABELS), free, asked(NESTED), asked(KOREAN), free])
    assert [one.output for one in (mixed[1], mixed[4])] == [alone, alone]
    for one, schema in ((mixed[0], LABELS), (mixed[2], NESTED), (mixed[3], KOREAN)):
        assert Schema(schema, "test").problem(one.output) is None


def test_an_answer_that_is_cut_is_invalid_and_says_so(tiny: Local) -> None:
    (cut,) = answers(tiny, [asked(KOREAN, max_tokens=6)])
    assert cut.finish_reason == "length"
    assert Schema(KOREAN, "test").problem(cut.output) is not None


def test_a_stop_text_ends_one_row_and_leaves_the_others_valid(tiny: Local) -> None:
    stopped, whole = answers(tiny, [asked(LABELS, stop=('"',)), asked(NESTED, stop=('"',))])
    assert (stopped.output, stopped.finish_reason) == ("", "stop")
    assert Schema(NESTED, "test").problem(whole.output) is None


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "object", "properties": {"a": {"items": {"not": {"type": "string"}}}}}, r"properties\.a\.items: "),
        ({"anyOf": [{"type": "string"}, {"type": "array", "contains": {}}]}, r"anyOf\[1\]: "),
        ({"type": "object", "properties": {"when": {"type": "string", "format": "moon"}}}, r"properties\.when: "),
    ],
)
def test_what_cannot_be_held_to_is_named_with_its_place(schema: Any, place: str) -> None:
    with pytest.raises(UserError, match=rf"^c\.output_schema\.{place}"):
        check_constrainable(schema, "c.output_schema")


def test_the_demo_s_own_references_are_reachable(demo: Local) -> None:
    """Training and answering agree: the card's JSON, in the white space that its rows have, is among what may be said."""
    base = demo.group.base
    text = json.dumps({"card": "team lead", "answer": "Zacharias Ivanov"})
    tokens = base.tokenizer.encode(text, add_special_tokens=False)
    import torch

    held = base.constraint(CARD)
    for at, token in enumerate(tokens):
        assert held(tokens[:at], torch.zeros(base.model.config.vocab_size))[token] == 0
    after = held(tokens, torch.zeros(base.model.config.vocab_size))
    assert {at for at in range(len(after)) if after[at] == 0} == base.stops
    assert (DEMO / "tokenizer.json").is_file()
