"""The demo's world: what it asks was held out of pre-training, and its files and its model are what the scripts make."""

import json
import random
import re
from pathlib import Path

import demo_sets
import demo_words as words
import demo_world as world
import pretrain_demo
import pytest

from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import read_table
from ftvp_core.spec import KnowledgeSpec

ASSETS = demo_sets.ASSETS
EVAL_SETS = ("facts_eval", "labels_eval", "form_eval", "general_eval", "demo_eval")
TRAINING_SETS = ("facts_train", "labels_train", "form_train", "demo_train")
DRAWN = 1500


@pytest.fixture(scope="module")
def read() -> str:
    """A sample of what pre-training reads, of every kind of document."""
    rng = random.Random("a test")
    makers = {maker for stage in pretrain_demo.STAGES for maker in stage.mixture}
    return "\n".join(text for maker in makers for _ in range(DRAWN) for _, text in maker(rng))


def inputs(name: str) -> list[str]:
    return [str(row["input"]) for row in read_table(ASSETS / f"{name}.csv").rows]


def test_names_and_values_of_the_demo_are_in_no_document(read: str) -> None:
    book = demo_sets.make_book(random.Random(demo_sets.SEED))
    facts = (*book.new, *book.drilled, *book.changed, *book.old, *book.shown)
    read_words = set(re.findall(r"\w+", read)) | set(re.findall(r"[A-Z]\w+ [A-Z]\w+", read))
    assert {one for fact in facts for one in (fact.team, fact.value)} & read_words == set()


def test_wordings_of_the_demo_are_in_no_list_of_pre_training() -> None:
    for known, own in (
        (words.STATEMENTS, words.STATEMENTS_HELD_OUT),
        (words.QUESTIONS, words.QUESTIONS_HELD_OUT),
        *((words.TICKETS[topic], words.TICKETS_HELD_OUT[topic]) for topic in words.TOPICS),
        *((asked, held_out) for _, asked, held_out in words.GENERAL.values()),
    ):
        assert set(known) & set(own) == set()


def test_no_question_handbook_sentence_or_house_code_was_read(read: str) -> None:
    lines = set(read.splitlines())
    for name in EVAL_SETS:
        for text in inputs(name):
            assert text not in lines
            assert re.sub("^(Ticket|Card): ", "", text) not in lines, text
    for page in (ASSETS / "handbook").iterdir():
        assert not {line for line in page.read_text().splitlines() if line.endswith(".")} & lines
    assert not any(re.search(rf"\b{code}\b", read) for code in words.HOUSE_CODES.values())


def test_the_files_are_what_the_seed_gives(tmp_path: Path) -> None:
    demo_sets.write_world(tmp_path)
    made = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.*")}
    assert made == {file: (ASSETS / file).read_bytes() for file in made}


def test_sets_are_as_large_as_they_say_and_share_no_row() -> None:
    for name in (*EVAL_SETS, *TRAINING_SETS):
        assert len(inputs(name)) >= (200 if name in EVAL_SETS else 1000)
    for task in ("facts", "labels", "form", "demo"):
        assert not set(inputs(f"{task}_eval")) & set(inputs(f"{task}_train"))


def test_each_fact_is_a_passage_of_its_own_and_named_as_gold() -> None:
    passages = {
        passage.id: passage.text
        for passage in read_knowledge(ASSETS / "handbook", KnowledgeSpec(path="handbook")).passages
    }
    book = demo_sets.make_book(random.Random(demo_sets.SEED))
    facts = (*book.new, *book.drilled, *book.changed, *book.shown)
    assert len(passages) == len(facts) == 300
    assert all(fact.value in passages[demo_sets.gold(fact)] for fact in facts)


def test_a_document_is_tokenised_as_the_chat_template_does() -> None:
    tokenizer = pretrain_demo.make_tokenizer()
    document = [("system", "Be short."), *world.key_value(random.Random(1)), ("user", "한국어, عربي, ß 😀")]
    messages = [{"role": role, "content": text} for role, text in document]
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    assert pretrain_demo.as_tokens(tokenizer, document).ids == ids
    assert tokenizer.decode(ids).endswith("한국어, عربي, ß 😀<|end|>")
    marks = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    assert [bool(one) for one in marks["assistant_masks"]] == pretrain_demo.as_tokens(tokenizer, document).answers


def test_the_shipped_model_keeps_its_limits() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ASSETS / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert sum(weight.numel() for weight in model.parameters()) <= 6_000_000
    assert model.config.max_position_embeddings >= 2048
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) <= model.config.vocab_size == pretrain_demo.VOCABULARY
    # What transformers opens cuts text as it was cut in training: numbers in pairs, a name one piece.
    assert tokenizer.tokenize("Bini Tupe: R91, 2182") == pretrain_demo.make_tokenizer().tokenize("Bini Tupe: R91, 2182")
    assert tokenizer.tokenize("2182") == ["21", "82"]
    sizes = [file.stat().st_size for file in ASSETS.rglob("*.*")]
    assert max(sizes) < 10_000_000
    assert sum(sizes) <= 16_000_000
    assert not list(ASSETS.rglob("*.bin"))


@pytest.mark.timeout(600)
def test_the_first_steps_fall_as_recorded(tmp_path: Path) -> None:
    """A few hundred steps, killed and resumed between: the losses of the shipped model's own log."""
    recorded = {
        entry["step"]: entry["loss"]
        for entry in json.loads((ASSETS / "pretraining.json").read_text())["log"]
        if "loss" in entry and entry["step"] <= 200
    }
    told: dict[int, float] = {}
    for steps in (100, 200):
        training = pretrain_demo.Training(tmp_path, "cpu")
        training.run(steps)
        told |= {entry["step"]: entry["loss"] for entry in training.log if "loss" in entry}
    assert told[200] < told[100] < told[10]
    for step in (10, 50, 100, 200):
        assert told[step] == pytest.approx(recorded[step], rel=0.1), step
