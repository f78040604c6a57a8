"""A model is asked as it was trained: training rows' own system prompts agree with the candidate's, or it is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import make_plan, read_sources
from ftvp_core.spec import parse
from ftvp_core.types import Given

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
