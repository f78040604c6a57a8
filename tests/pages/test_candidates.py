"""The RAG form's suggestion, the one click that adds a RAG candidate's bounds, and the output schema."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.draft_candidates import bounds_of
from ftvp_core.drafts import draft_keys, new_draft, to_spec
from tests.pages.conftest import Home, said

Opened = Callable[..., AppTest]
PAGE = "pages/2_Candidates.py"
ENGLISH = "A refund takes three working days. If your card is lost, call us at once and we block it."
KOREAN = "환불은 영업일 기준으로 사흘이 걸립니다. 카드를 잃어버리면 바로 고객센터에 전화해 정지하세요."
GERMAN = "Eine Rückerstattung dauert drei Werktage. Bei Kartenverlust rufen Sie uns bitte umgehend an, wir sperren sie."
ARABIC = "تستغرق إعادة المبلغ ثلاثة أيام عمل. إذا فقدت بطاقتك فاتصل بخدمة العملاء لإيقافها."
RAG: dict[str, Any] = {
    "name": "rag",
    "model": "openai/m",
    "prompt": {"system": "Use only {context}", "user": "{context}\n\n{question} {{context}}"},
    "retrieval": {"top_k": 2, "mode": "hybrid"},
}


def keys_for(home: Home, text: str, *, gold: bool = True) -> dict[str, Any]:
    (home.folder / "k.txt").write_text(text, encoding="utf-8")
    (home.folder / "e.csv").write_text("question,answer,page\nrefund?,3 days,k.txt\n", encoding="utf-8")
    eval_set = {"path": str(home.folder / "e.csv"), **({"gold": "page"} if gold else {})}
    return {"name": "d", "eval_set": eval_set, "knowledge": {"path": str(home.folder / "k.txt")}, "candidates": [RAG]}


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (ENGLISH, "words and meaning", "together"),
        (KOREAN, "words", "hardly knows"),
        (GERMAN, "words", "hardly knows"),
        (ARABIC, "words", "hardly knows"),
    ],
)
def test_the_form_preselects_what_suits_the_knowledges_language(
    home: Home, opened: Opened, text: str, mode: str, why: str
) -> None:
    new_draft(home.store, keys_for(home, text))
    at = opened(PAGE)
    at.selectbox(key="candidate-kind").select("rag").run()
    assert not at.exception
    box = next(box for box in at.selectbox if box.label == "Searched by")
    assert box.options[box.index or 0] == mode
    assert why in said(at)


def test_one_click_adds_the_oracle_and_the_closed_book(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, keys_for(home, ENGLISH))
    at = opened(PAGE)
    at.button(key="bounds-rag").click().run()
    assert not at.exception
    rag, oracle, closed = draft_keys(home.store, draft_id)["candidates"]
    assert rag == RAG
    assert oracle == {**RAG, "name": "rag, gold passages", "retrieval": {"top_k": 2, "mode": "hybrid", "oracle": True}}
    assert "retrieval" not in closed
    assert closed["prompt"] == {"system": "Use only", "user": "{question} {{context}}"}
    assert not [button for button in at.button if button.label == "Add bounds"]


def test_without_gold_there_are_no_bounds(home: Home, opened: Opened) -> None:
    new_draft(home.store, keys_for(home, ENGLISH, gold=False))
    at = opened(PAGE)
    assert not at.exception
    assert not [button for button in at.button if button.label == "Add bounds"]


def test_one_click_distils_a_candidate_into_the_same_model_without_its_prompt(home: Home, opened: Opened) -> None:
    (home.folder / "t.csv").write_text("question\nrefund?\nWie lange?\n환불?\n", encoding="utf-8")
    local = {**RAG, "model": "local/demo", "sampling": {"max_tokens": 9, "temperature": 0.5}}
    keys = keys_for(home, ENGLISH) | {"candidates": [local], "train_set": {"path": str(home.folder / "t.csv")}}
    draft_id = new_draft(home.store, keys)
    at = opened(PAGE)
    at.button(key="distil-rag").click().run()
    assert "asked about the 2 training rows, 2 calls, on this machine" in shown(at), "one of three is an eval row"
    assert "licences forbid training" in shown(at)
    at.radio[0].set_value("agreement").run()
    assert "2 training rows 3 times each, 6 calls" in shown(at)
    next(button for button in at.button if button.label.startswith("Add the student")).click().run()
    assert not at.exception
    rag, untuned, student = draft_keys(home.store, draft_id)["candidates"]
    bare = {"model": "local/demo", "prompt": {"user": "{question} {{context}}"}, "sampling": {"max_tokens": 9}}
    assert rag == local
    assert untuned == {"name": "rag, distilled, base", **bare}
    tune = {"teacher": "rag", "keep": "agreement", "answers": 3}
    assert student == {"name": "rag, distilled", **bare, "tune": tune}


def test_a_student_without_training_rows_is_asked_for_them(home: Home, opened: Opened) -> None:
    new_draft(home.store, keys_for(home, ENGLISH))
    at = opened(PAGE)
    at.button(key="distil-rag").click().run()
    assert "add a training set on Data" in at.warning[0].value


def test_a_prompt_of_passages_alone_asks_the_question_without_them() -> None:
    _, closed = bounds_of({"name": "r", "model": "openai/m", "prompt": {"user": "{context}"}, "retrieval": {}})
    assert "prompt" not in closed, "the default is the question"


def json_rows(home: Home, *references: str) -> dict[str, Any]:
    rows = [json.dumps({"id": f"q{at}", "input": "?", "reference": one}) for at, one in enumerate(references)]
    (home.folder / "e.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return {"name": "d", "eval_set": {"path": str(home.folder / "e.jsonl")}}


def schema_area(at: AppTest) -> Any:
    return next(area for area in at.text_area if area.label.startswith("JSON Schema"))


def test_a_schema_is_inferred_from_references_and_kept_with_the_candidate(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, json_rows(home, '{"부서": "환불", "n": 1}', '{"부서": "배송", "n": 2.5, "x": []}'))
    at = opened(PAGE)
    next(button for button in at.button if button.label == "Infer from references").click().run()
    inferred = json.loads(schema_area(at).value)
    assert inferred["properties"]["부서"] == {"type": "string"}
    assert inferred["properties"]["n"] == {"type": "number"}
    assert (inferred["required"], inferred["additionalProperties"]) == (["n", "부서"], False)
    next(box for box in at.selectbox if box.label == "Provider").select("local").run()
    next(button for button in at.button if button.label == "Add").click().run()
    assert not at.exception
    (candidate,) = draft_keys(home.store, draft_id)["candidates"]
    assert candidate["output_schema"] == inferred
    assert "output schema" in said(at)


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ('{"type": "object",\n "properties": {"a": {"type": "string"}', "line 2, column"),
        ('{"properties": {"a": {"type": "strin"}}}', "output_schema.properties.a.type"),
        ('{"properties": {"a": {"pattern": "(?=x)"}}}', "output_schema.properties.a.pattern"),
        ('["a"]', "found no object"),
    ],
)
def test_a_mistake_in_a_schema_is_shown_where_it_is_and_nothing_is_added(
    home: Home, opened: Opened, typed: str, place: str
) -> None:
    new_draft(home.store, json_rows(home, "yes", "no"))
    at = opened(PAGE)
    assert not [button for button in at.button if button.label == "Infer from references"], "labels are no JSON"
    schema_area(at).set_value(typed).run()
    assert not at.exception
    assert place in at.error[0].value.replace("\\", "")
    assert next(button for button in at.button if button.label == "Add").disabled
    schema_area(at).set_value("").run()
    assert not next(button for button in at.button if button.label == "Add").disabled


def test_a_tune_is_what_the_form_says_and_each_setting_names_its_source(home: Home, opened: Opened) -> None:
    keys = keys_for(home, ENGLISH)
    draft_id = new_draft(home.store, {**keys, "train_set": {"path": keys["eval_set"]["path"]}})
    at = opened(PAGE)
    at.selectbox(key="candidate-kind").select("tuned").run()
    assert not at.exception
    fields = {field.label: field for kind in (at.selectbox, at.number_input, at.checkbox) for field in kind}
    assert "LoRA Without Regret" in fields["Learning rate"].help and "QLoRA" in fields["Dropout"].help
    assert fields["Learning rate"].placeholder == "2e-04"
    fields["Method"].select("full").run()
    fields = {field.label: field for kind in (at.selectbox, at.number_input, at.checkbox) for field in kind}
    assert "LoRA rank" not in fields and fields["Learning rate"].placeholder == "2e-05"
    numbers = {field.label: field for field in at.number_input}
    numbers["Batch size"].set_value(2)
    numbers["Held out"].set_value(0.2)
    next(field for field in at.checkbox if field.label == "Gradient checkpointing").check()
    next(field for field in at.text_input if field.label == "Name").set_value("all of it")
    next(button for button in at.button if button.label == "Add").click().run()
    assert not at.exception and not at.error, said(at)
    added = draft_keys(home.store, draft_id)["candidates"][-1]
    assert (added["name"], added["model"]) == ("all of it", "local/demo")
    assert added["tune"] == {"method": "full", "batch_size": 2, "validation": 0.2, "gradient_checkpointing": True}


def shown(at: AppTest) -> str:
    """What the page says, as it is drawn: `plain` escapes punctuation."""
    return said(at).replace("\\", "")


def labelled(at: AppTest, label: str) -> Any:
    kinds = (at.selectbox, at.number_input, at.checkbox, at.text_input, at.text_area, at.button)
    return next(one for kind in kinds for one in kind if one.label == label)


def test_a_tuned_candidate_may_search_and_have_shots_and_be_sampled(home: Home, opened: Opened) -> None:
    keys = keys_for(home, ENGLISH)
    draft_id = new_draft(home.store, {**keys, "train_set": {"path": keys["eval_set"]["path"]}})
    at = opened(PAGE)
    at.selectbox(key="candidate-kind").select("tuned").run()
    labelled(at, "Passages in the prompt too (RAG)").check().run()
    labelled(at, "Shots before the question too").check().run()
    labelled(at, "Shots").set_value(2)
    labelled(at, "Temperature").set_value(0.7)
    labelled(at, "Sampling seed").set_value(7)
    labelled(at, "Stop at").set_value("###\n답:")
    labelled(at, "Stream").check()
    labelled(at, "Name").set_value("all at once")
    labelled(at, "Add").click().run()
    assert not at.exception and not at.error, said(at)
    added = draft_keys(home.store, draft_id)["candidates"][-1]
    assert added["sampling"] == {"temperature": 0.7, "seed": 7, "stream": True, "stop": ["###", "답:"]}
    assert added["shots"] == {"k": 2, "select": "random"}
    assert (added["retrieval"]["mode"], added["tune"]) == ("hybrid", {})
    assert "all at once · fine-tuned+rag · local/demo · 2 random shots · by words and meaning, top 4" in shown(
        at
    ).replace("**", "")


def test_an_adapter_from_elsewhere_is_a_candidate(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, keys_for(home, ENGLISH))
    at = opened(PAGE)
    at.selectbox(key="candidate-kind").select("adapter").run()
    assert "Shots before the question too" not in [box.label for box in at.checkbox], "there are no training rows"
    labelled(at, "Its folder").set_value("adapters/mine")
    labelled(at, "Add").click().run()
    assert not at.exception and not at.error, said(at)
    added = draft_keys(home.store, draft_id)["candidates"][-1]
    assert (added["name"], added["model"], added["adapter"]) == ("adapter", "local/demo", "adapters/mine")
    assert not [key for key in ("sampling", "tune", "shots", "retrieval") if key in added]


#: All that the form asks for, and some that it doesn't: a search's bound, a teacher, another column's filter.
WHOLE: list[dict[str, Any]] = [
    {
        "name": "역할",
        "model": "sim/m",
        "prompt": {"system": "Short.", "user": "{question}?"},
        "shots": {"k": 0, "select": "nearest"},
        "retrieval": {"top_k": 40, "mode": "lexical", "rerank": "sim/r", "max_tokens": 99, "filter": {"source": "k*"}},
        "output_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
        "sampling": {"temperature": 1.5, "max_tokens": 64000, "top_p": 0.5, "seed": 0, "stop": ["끝", "##"]},
    },
    {"name": "gold", "model": "openai/m", "retrieval": {"oracle": True, "filter": {"kind": "a", "source": "k*"}}},
    {
        "name": "lora",
        "model": "local/demo",
        "tune": {"method": "qlora", "rank": 2048, "target_modules": ["q_proj", "v_proj"], "learning_rate": 1e-3,
                 "epochs": 0.05, "max_steps": 7, "validation": 0.0, "device": "cpu", "teacher": "역할", "keep": "all"},
    },
    {"name": "full", "model": "local/demo", "tune": {"method": "full", "scheduler": "cosine", "packing": True}},
    {"name": "mine", "model": "local/demo", "adapter": "adapters/mine"},
    {"name": "few", "model": "openai/m", "shots": {"k": 3, "select": "nearest"}, "sampling": {"stream": True}},
    {"name": "floor", "floor": "nearest", "train": {"rows": 1}},
    {"name": "old", "recorded": "old.csv"},
]  # fmt: skip


def whole(home: Home) -> tuple[str, dict[str, Any]]:
    keys = keys_for(home, ENGLISH) | {
        "train_set": {"path": str(home.folder / "e.csv")},
        "providers": {"sim": {"base_url": "http://127.0.0.1:9/v1"}},
        "prices": {"sim/m": {"input": 0.2, "cached_input": 0.1, "output": 0.9}},
        "candidates": WHOLE,
    }
    return new_draft(home.store, keys), keys


def test_a_candidate_that_is_opened_and_saved_unchanged_is_the_same(home: Home, opened: Opened) -> None:
    """Every field shows what the file has, also beyond its bounds; what no field shows is kept."""
    draft_id, keys = whole(home)
    before = to_spec(keys)
    at = opened(PAGE)
    for one in WHOLE:
        at.button(key=f"edit-{one['name']}").click().run()
        assert not at.exception, one["name"]
        labelled(at, "Save").click().run()
        assert not at.exception and "Save" not in [button.label for button in at.button], said(at)
    assert to_spec(draft_keys(home.store, draft_id)) == before


def test_a_candidate_is_edited_under_another_name(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, {**keys_for(home, ENGLISH), "candidates": [RAG, *bounds_of(RAG)]})
    at = opened(PAGE)
    at.button(key="edit-rag").click().run()
    assert labelled(at, "Name").value == "rag"
    assert labelled(at, "User prompt").value == RAG["prompt"]["user"]
    labelled(at, "Name").set_value("조회")
    labelled(at, "Passages in the prompt").set_value(7)
    labelled(at, "Temperature").set_value(0.3)
    labelled(at, "Save").click().run()
    assert not at.exception and not at.error, said(at)
    rag, oracle, closed = draft_keys(home.store, draft_id)["candidates"]
    assert rag == {**RAG, "name": "조회", "retrieval": {"top_k": 7, "mode": "hybrid"}, "sampling": {"temperature": 0.3}}
    assert (oracle["name"], closed["name"]) == ("조회, gold passages", "조회, closed book")
    assert oracle["retrieval"] == {"top_k": 7, "mode": "hybrid", "oracle": True}
    assert closed["sampling"] == {"temperature": 0.3}


def test_what_was_typed_and_not_saved_is_forgotten(home: Home, opened: Opened) -> None:
    draft_id, keys = whole(home)
    at = opened(PAGE)
    for name in ("few", "gold", "few"):
        at.button(key=f"edit-{name}").click().run()
        assert (labelled(at, "Name").value, labelled(at, "Sampling seed").value) == (name, None)
        labelled(at, "Name").set_value("lora")
        labelled(at, "Sampling seed").set_value(5).run()
    labelled(at, "Save").click().run()
    assert "candidate lora: is there already" in said(at)
    labelled(at, "Close").click().run()
    assert draft_keys(home.store, draft_id) == keys
    at.button(key="edit-few").click().run()
    assert labelled(at, "Name").value == "few"


def test_an_edit_that_leaves_a_sweep_without_its_number_is_refused(home: Home, opened: Opened) -> None:
    few = {"name": "few", "model": "openai/m", "prompt": {"user": "{question}"}, "shots": {"k": 2}}
    sweeps = [{"candidate": "few", "over": "shots.k", "values": [1, 2]}]
    keys = {**keys_for(home, ENGLISH), "candidates": [few], "sweeps": sweeps}
    draft_id = new_draft(home.store, {**keys, "train_set": {"path": keys["eval_set"]["path"]}})
    at = opened(PAGE)
    at.button(key="edit-few").click().run()
    at.selectbox[0].select("prompt").run()
    labelled(at, "Shots before the question too").uncheck().run()
    labelled(at, "Save").click().run()
    assert not at.exception
    assert "sweeps[0].over: shots.k = 1 is no setting of few" in said(at)
    assert draft_keys(home.store, draft_id)["candidates"] == [few]


def test_a_copy_begins_as_the_candidate_is(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, keys_for(home, ENGLISH))
    at = opened(PAGE)
    at.button(key="duplicate-rag").click().run()
    labelled(at, "Add the copy").click().run()
    assert not at.exception and not at.error, said(at)
    assert draft_keys(home.store, draft_id)["candidates"] == [RAG, {**RAG, "name": "rag, copy"}]


def test_a_name_that_is_there_is_not_replaced_by_adding(home: Home, opened: Opened) -> None:
    draft_id = new_draft(home.store, keys_for(home, ENGLISH))
    at = opened(PAGE)
    labelled(at, "Name").set_value("rag")
    labelled(at, "Model").set_value("m")
    labelled(at, "Add").click().run()
    assert "candidate rag: is there already" in said(at)
    assert draft_keys(home.store, draft_id)["candidates"] == [RAG]
