"""A model is asked as it was trained: training rows' own system prompts agree with the candidate's, or it is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.candidates.prompt import check_trained_system
from ftvp_core.errors import UserError
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import Candidate, PromptSpec, parse
from ftvp_core.types import Example, ExampleSet, Given, Mapped

BASE = Path(__file__).parents[2] / "assets" / "demo" / "model"


def chats(system: str | None, kind: str) -> str:
    def row(n: int) -> str:
        turns = [{"role": "user", "content": f"the {kind} question {n}"}, {"role": "assistant", "content": f"{n}"}]
        return json.dumps({"messages": [*([{"role": "system", "content": system}] if system else []), *turns]})

    return "\n".join(row(n) for n in range(12)) + "\n"


def planned(folder: Path, train: str | None, asked: str | None, prompt: dict[str, Any]) -> Plan:
    (folder / "train.jsonl").write_text(chats(train, "training"), encoding="utf-8")
    (folder / "eval.jsonl").write_text(chats(asked, "other"), encoding="utf-8")
    keys = {
        "eval_set": {"path": "eval.jsonl"},
        "train_set": {"path": "train.jsonl"},
        "candidates": [{"name": "lora", "model": f"local/{BASE}", "prompt": prompt, "tune": {}}],
    }
    spec = parse(json.dumps(keys), "file")
    return make_plan(spec, read_sources(spec, folder))


@pytest.mark.parametrize(
    ("train", "asked", "prompt"),
    [
        ("Antworte kurz.", "Antworte kurz.", {}),
        ("Antworte  kurz.", None, {"system": "Antworte kurz."}),
        (None, None, {"system": "Antworte kurz."}),
        (None, None, {}),
    ],
)
def test_what_agrees_is_planned(tmp_path: Path, train: str | None, asked: str | None, prompt: dict[str, Any]) -> None:
    plan = planned(tmp_path, train, asked, prompt)
    first = plan.arms[0].render(plan.arms[0].examples[0], Given()).messages[0]
    system = prompt.get("system") or asked
    assert (first.role, first.content) == (("system", system) if system else ("user", "the other question 0"))


@pytest.mark.parametrize(
    ("train", "asked", "prompt", "said"),
    [
        ("짧게 답하세요.", None, {"system": "길게 답하세요."}, "have another system prompt than prompt.system"),
        ("Answer.", None, {}, "have a system prompt, and the eval set's none"),
        (None, "Answer.", {}, "have no system prompt, and the eval set's have one"),
    ],
)
def test_what_differs_is_one_clear_error(
    tmp_path: Path, train: str | None, asked: str | None, prompt: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as raised:
        planned(tmp_path, train, asked, prompt)
    line = str(raised.value)
    assert line.startswith("candidate lora: 12 of 12 training rows") and "prompt.system" in line and "\n" not in line


@pytest.mark.parametrize(
    ("trained", "asked", "own", "said"),
    [
        (["Answer."], ["Answer. "], None, None),
        ([None], [None], None, None),
        (["One.", "Two."], ["Three.", "One."], None, None),
        (["You are Ann.", "You are Bo."], [None], "You are {name}.", None),
        (
            ["Answer."],
            [None],
            None,
            "trained with the system prompt 'Answer.' and would be asked with no system prompt",
        ),
        (
            [None],
            [None],
            "答えて。",
            "trained with no system prompt and would be asked with the system prompt '答えて。'",
        ),
        (["One.", "Two."], [None], None, "trained with the system prompt 'One.' and others and would be asked with no"),
    ],
)
def test_an_adapter_is_asked_as_it_was_trained(
    trained: list[str | None], asked: list[str | None], own: str | None, said: str | None
) -> None:
    rows = tuple(Example(str(at), "x", (), {}, system=system) for at, system in enumerate(asked))
    eval_set = ExampleSet("e", "0", "csv", "utf-8", Mapped("x"), rows)
    candidate = Candidate(name="given", model="local/x", adapter="a", prompt=PromptSpec(system=own))
    if said is None:
        check_trained_system(candidate, "candidate given", trained, eval_set)
        return
    with pytest.raises(UserError, match=said):
        check_trained_system(candidate, "candidate given", trained, eval_set)
