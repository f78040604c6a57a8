"""What a batch may share, and that it changes no answer: against transformers' `generate`, one row at a time."""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.models.local import DEMO, Local, answering, generation, known_warnings, open_model
from ftvp_core.models.local.memory import row_bytes, token_bytes
from ftvp_core.models.local.prefixes import common, deeper
from ftvp_core.models.local.sharing import shareable_columns
from ftvp_core.types import Answer, Example, Message, Request
from tests.one_at_a_time import gap_where_apart, generated
from tests.tiny_model import ARCHITECTURES, make_adapter, make_model

#: Two tokens so close that the order of float32 sums decides between them.
CLOSE = 1e-4
SHOTS = tuple(
    message for n in range(4) for message in (Message("user", f"what of {n}?"), Message("assistant", f"it is {n * n}"))
)


def request(text: str, before: Sequence[Message] = SHOTS, **settings: Any) -> Request:
    example = Example(text, text, ("x",), {})
    return Request(example, (*before, Message("user", text)), **{"max_tokens": 10, **settings})


MIXED = [
    *(request(f"item {n} " + "red " * (5 * n % 7), max_tokens=4 + n) for n in range(9)),
    *(request(f"no shots {n}", before=()) for n in range(3)),
    request("item 3", before=SHOTS[:4]),
]


def assert_as_one_at_a_time(arm: Local, asked: Sequence[Request], found: Sequence[Answer | str], model: Any) -> None:
    """`model` answers for `arm`, by itself. Where two answers part, both next tokens are as good as equal."""
    tokenizer, apart = arm.group.base.tokenizer, 0
    for one, answer in zip(asked, found, strict=True):
        assert isinstance(answer, Answer), answer
        ids = arm.prompt_ids(one)
        expected = generated(model, ids, one.max_tokens)
        text = tokenizer.decode(expected, skip_special_tokens=True)
        if (answer.output, answer.usage.output) != (text, len(expected)):
            apart += 1
            assert gap_where_apart(model, tokenizer, ids, expected, answer.output) < CLOSE, (answer.output, text)
    assert apart <= len(asked) // 4  # else the test shows nothing


#: What can't share a prefix beyond its window, or at all: transformers' `generate` answers there.
PARTLY, PLAINLY = ("mistral", "gemma2", "gemma3_text", "gpt_neo"), ("bloom", "mamba", "lfm2")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_answers_are_those_of_one_row_at_a_time(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM, GenerationConfig

    ways = []

    def noted(way: str, way_of: Callable[..., None], *of: Any) -> None:
        ways.append(way)
        way_of(*of)

    for way in ("generate", "generate_plainly"):
        monkeypatch.setattr(answering, way, partial(noted, way, getattr(generation, way)))
    arm = open_model(str(make_model(tmp_path, kind=kind)), None, {})
    whole = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    whole.generation_config = GenerationConfig(
        eos_token_id=sorted(arm.group.base.stops), pad_token_id=arm.group.base.pad
    )
    found = [*arm.answer_batch(MIXED), *arm.answer_batch(MIXED[:1]), *arm.answer_batch(MIXED[4:7])]
    assert_as_one_at_a_time(arm, [*MIXED, MIXED[0], *MIXED[4:7]], found, whole)
    assert len({answer.output for answer in found if isinstance(answer, Answer)}) > 8
    assert ("generate" in ways, "generate_plainly" in ways) == (kind not in PLAINLY, kind in (*PARTLY, *PLAINLY))


def test_the_demo_model_answers_as_one_row_at_a_time() -> None:
    from transformers import AutoModelForCausalLM

    with (DEMO.parent / "form_train.csv").open(encoding="utf-8") as file:
        rows = list(islice(csv.DictReader(file), 30))
    shots = [
        message
        for row in rows[:6]
        for message in (Message("user", row["input"]), Message("assistant", row["reference"]))
    ]
    asked = [request(row["input"], shots, max_tokens=32) for row in rows[6:]]
    arm = open_model("demo", None, {})
    assert_as_one_at_a_time(arm, asked, arm.answer_batch(asked), AutoModelForCausalLM.from_pretrained(DEMO).float())


def test_what_all_rows_share_is_computed_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = open_model(str(make_model(tmp_path)), None, {})
    asked = [request(f"{n} items") for n in range(4)]
    lengths = [len(arm.prompt_ids(one)) for one in asked]
    shared = common([arm.prompt_ids(one) for one in asked])
    passes = passes_of(arm, monkeypatch)
    arm.answer_batch(asked[:2])
    assert passes[:2] == [(1, shared), (2, lengths[0] - shared)]
    assert all(tokens == 1 for _, tokens in passes[2:])
    passes.clear()
    arm.answer_batch(asked[2:3])
    assert passes[0] == (1, lengths[2] - shared)
    # One that asks something else altogether has no part in it, and is no burden for the next one.
    passes.clear()
    arm.answer_batch([request("!", before=[Message("system", "?")])])
    assert passes[0][0] == 1 and passes[0][1] < 10


def test_a_probe_s_calls_are_warm_from_the_third_on_in_what_all_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = open_model(str(make_model(tmp_path)), None, {})
    asked = [request(f"{n} items") for n in range(3)]
    shared = common([arm.prompt_ids(one) for one in asked])
    whole = len(arm.prompt_ids(asked[0]))
    passes = passes_of(arm, monkeypatch)
    for one in (*asked, *asked):
        arm.answer_batch([one])
    assert [tokens for _, tokens in passes if tokens > 1] == [whole, shared, *[whole - shared] * 5]


def test_rows_that_end_leave_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = open_model(str(make_model(tmp_path)), None, {})
    lengths = (9, 2, 2, 5, 7)
    asked = [request(f"item {n}", max_tokens=most) for n, most in enumerate(lengths)]
    monkeypatch.setattr(arm.group.base, "stops", set())
    expected = [arm.answer_batch([one])[0] for one in asked]
    passes = passes_of(arm, monkeypatch)
    found = arm.answer_batch(asked)
    assert [one.output for one in found] == [one.output for one in expected]  # type: ignore[union-attr]
    assert [rows for rows, tokens in passes if tokens == 1] == [5, 3, 3, 3, 2, 2, 1, 1]


def test_adapters_answer_in_one_batch_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "model")
    loaded: dict[str, object] = {}
    arms = [open_model(str(folder), None, loaded)]
    arms += [open_model(str(folder), make_adapter(folder, tmp_path / str(n), n), loaded) for n in (1, 2)]
    dora = make_adapter(folder, tmp_path / "dora", 3, use_dora=True)
    arms.append(open_model(str(folder), dora, loaded))
    asked = [(arm, request(f"item {n}", max_tokens=4 + n)) for n in range(3) for arm in arms]
    expected = [arm.answer_batch([one])[0] for arm, one in asked]
    passes = passes_of(arms[0], monkeypatch)
    found = arms[0].group.answer(asked)
    assert [one.output for one in found] == [one.output for one in expected]  # type: ignore[union-attr]
    assert len({one.output for one in found}) > 9  # type: ignore[union-attr]
    # PEFT takes no DoRA beside others.
    assert [rows for rows, tokens in passes if tokens > 1 and rows > 1] == [9, 3]


@pytest.mark.parametrize("kind", ["gpt2", "falcon", "gemma3_text", "lfm2"])
def test_an_adapter_of_any_architecture_answers_as_its_merged_weights(tmp_path: Path, kind: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_model(tmp_path / "model", kind=kind)
    adapter = make_adapter(folder, tmp_path / "adapter", 1)
    loaded: dict[str, object] = {}
    arms = open_model(str(folder), None, loaded), open_model(str(folder), adapter, loaded)
    asked = [request(f"item {n}", max_tokens=4 + n) for n in range(4)]
    found = arms[0].group.answer([(arm, one) for one in asked for arm in arms])
    whole = [AutoModelForCausalLM.from_pretrained(folder).eval() for _ in arms]
    with known_warnings():
        whole[1] = PeftModel.from_pretrained(whole[1], str(adapter)).merge_and_unload().eval()
    for at, arm in enumerate(arms):
        whole[at].generation_config = arm.group.base.model.generation_config
        assert_as_one_at_a_time(arm, asked, found[at::2], whole[at])
    base, adapted = ([one.output for one in found[at::2] if isinstance(one, Answer)] for at in (0, 1))
    assert base != adapted


def test_a_drawn_answer_is_the_same_with_a_prefix_and_beside_other_settings(tmp_path: Path) -> None:
    arm = open_model(str(make_model(tmp_path)), None, {})
    warm = [request(f"item {n}", temperature=0.5 + n / 4, top_p=1 - n / 10, seed=n, stop=("q",)) for n in range(5)]
    alone = [open_model(str(tmp_path), None, {}).answer_batch([one])[0] for one in warm]
    assert [one.output for one in arm.answer_batch([*MIXED[:4], *warm])[4:]] == [one.output for one in alone]  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"rope_type": "dynamic", "factor": 2.0}, {"rope_type": "linear", "factor": 2.0}])
def test_positions_that_change_with_a_text_s_length_are_not_shared(tmp_path: Path, change: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(make_model(tmp_path))
    config.rope_parameters = config.rope_parameters | change
    model = AutoModelForCausalLM.from_config(config).eval()
    assert bool(shareable_columns(model)) == (change["rope_type"] == "linear")


def test_a_model_that_answers_otherwise_with_a_cache_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(make_model(tmp_path)).eval()
    assert shareable_columns(model) > 0
    forward = model.forward

    def by_columns(
        input_ids: Any, past_key_values: Any, position_ids: Any, logits_to_keep: int = 0, **more: Any
    ) -> Any:
        """Positions counted by columns, padding too."""
        return forward(input_ids=input_ids, past_key_values=past_key_values, **more)

    monkeypatch.setattr(model, "forward", by_columns)
    assert shareable_columns(model) == 0


def test_prefixes_form_a_tree() -> None:
    a, b = [1] * 10, [2] * 10
    rows = [[0, *a, *b, 5], [0, *b, 6], [0, *a, *b, 7, 7], [0, *a, 8], [9]]
    assert common(rows) == 0 and common(rows[:4]) == 1
    found = {(frozenset(at), length) for at, length in deeper(rows, 0, 10)}
    assert found == {(frozenset({0, 2, 3}), 11), (frozenset({0, 2}), 21)}
    assert list(deeper(rows, 0, 100)) == []
    same = [[3] * 30] * 3
    assert common(same) == 29 and [length for _, length in deeper(same, 0, 10)] == [29]


def passes_of(arm: Local, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(rows, tokens) of each pass through the model from now on."""
    model, passes = arm.group.base.model, []
    assert arm.group.base.shareable_columns > 0
    forward = model.forward

    def noted(**inputs: Any) -> Any:
        passes.append(tuple(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", noted)
    return passes


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "mamba"])
def test_a_token_s_memory_is_that_of_transformers_own_cache(tmp_path: Path, kind: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(make_model(tmp_path, kind=kind)).eval()
    held = 0
    if kind != "mamba":
        layers = model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=True).past_key_values.layers
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert 3 * token_bytes(model) == held


def test_a_batch_is_as_large_as_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = open_model(str(make_model(tmp_path)), None, {})
    asked = [request(f"{n} items", before=()) for n in range(6)]
    expected = [one.output for one in arm.answer_batch(asked)]  # type: ignore[union-attr]
    length = len(arm.prompt_ids(asked[0]))
    each = row_bytes(arm.group.base.model, length, length + asked[0].max_tokens)
    for rows, sizes in ((4, [4, 2]), (0, [1] * 6)):
        monkeypatch.setattr(answering, "free_bytes", lambda _, rows=rows: 2 * rows * each)
        arm.group._kept.clear()
        with monkeypatch.context() as patch:
            passes = passes_of(arm, patch)
            assert [one.output for one in arm.answer_batch(asked)] == expected  # type: ignore[union-attr]
        assert [n for n, tokens in passes if tokens > 1] == sizes
