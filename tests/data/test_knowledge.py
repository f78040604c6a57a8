"""Knowledge: what a file's passages are, in every script, and that nothing is lost between them."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from ftvp_core.data.examples import to_examples
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.spec import EvalSetSpec, KnowledgeSpec
from ftvp_core.tokens import BYTES_PER_TOKEN

SMALL = KnowledgeSpec(path="x", chunk_tokens=32, overlap=12)


def test_markdown_keeps_its_headings_and_drops_its_front_matter(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "---\ntitle: T\n---\n# Guide\nIntro.\n## Keys\nPut them away.\n```\n# no heading\n```\n"
    )
    knowledge = read_knowledge(tmp_path / "page.md", KnowledgeSpec(path="x"))
    assert [passage.text for passage in knowledge.passages] == [
        "Guide\nIntro.",
        "Guide\nKeys\nPut them away.\n```\n# no heading\n```",
    ]
    assert [passage.id for passage in knowledge.passages] == ["page.md#1", "page.md#2"]


def test_chunks_keep_their_size_overlap_and_lose_nothing(tmp_path: Path) -> None:
    sentences = [f"Sentence number {at} says something." for at in range(40)]
    (tmp_path / "text.txt").write_text(" ".join(sentences))
    passages = read_knowledge(tmp_path / "text.txt", SMALL).passages
    assert all(len(passage.text.encode()) <= 32 * BYTES_PER_TOKEN for passage in passages)
    assert all(any(sentence in passage.text for passage in passages) for sentence in sentences)
    ends_and_starts = pairwise(passages)
    assert all(after.text.split(". ")[0] in before.text for before, after in ends_and_starts)


@pytest.mark.parametrize(
    "text",
    [
        "카드는 영업일 기준 닷새 안에 도착합니다. 주소를 바꾸려면 앱을 여세요. 수수료는 없습니다. " * 8,
        "تصل البطاقة خلال خمسة أيام عمل. هل تريد تغيير العنوان؟ افتح التطبيق. " * 8,
        "Die Karte kommt innerhalb von fünf Werktagen. Öffnen Sie die App, um die Adresse zu ändern. " * 8,
        "カードは五営業日以内に届きます。住所を変更するにはアプリを開いてください。" * 8,
        "x" * 2000,
    ],
)
def test_every_script_is_cut_without_losing_a_character(tmp_path: Path, text: str) -> None:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    passages = read_knowledge(tmp_path / "text.txt", KnowledgeSpec(path="x", chunk_tokens=32, overlap=0)).passages
    assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())
    assert all(len(passage.text.encode()) <= 32 * BYTES_PER_TOKEN for passage in passages)


def test_a_folder_is_read_in_order_without_hidden_files_and_rows_are_passages(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "faq.csv").write_bytes("질문,답\n카드가 안 와요,닷새 기다리세요\n".encode("cp949"))
    (tmp_path / "a.txt").write_text("One text.")
    (tmp_path / ".hidden.txt").write_text("not read")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    knowledge = read_knowledge(tmp_path, KnowledgeSpec(path="x"))
    assert [(passage.id, passage.text) for passage in knowledge.passages] == [
        ("a.txt", "One text."),
        ("b/faq.csv", "질문: 카드가 안 와요\n답: 닷새 기다리세요"),
    ]


def test_the_same_content_is_the_same_knowledge_and_a_change_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One text.")
    first = read_knowledge(tmp_path, KnowledgeSpec(path="x")).sha256
    assert read_knowledge(tmp_path, KnowledgeSpec(path="x")).sha256 == first
    (tmp_path / "a.txt").write_text("Another text.")
    assert read_knowledge(tmp_path, KnowledgeSpec(path="x")).sha256 != first


@pytest.mark.parametrize(("name", "content"), [("image.png", b"\x89PNG"), ("empty.txt", b"  \n")])
def test_what_holds_no_text_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_knowledge(tmp_path, KnowledgeSpec(path="x"))
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


def test_squad_passages_stand_once_each_under_the_name_that_gold_uses(tmp_path: Path) -> None:
    qas = [{"id": "1", "question": "q", "answers": [{"text": "fox"}]}]
    article = {
        "title": "Fox",
        "paragraphs": [{"context": "A fox. " * 40, "qas": qas}, {"context": "Short.", "qas": []}],
    }
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text(json.dumps({"data": [article]}))
    (tmp_path / "faq.csv").write_text("q,a\nx,y\n")
    passages = read_knowledge(tmp_path, SMALL).passages
    (example,) = to_examples(read_table(tmp_path / "one.json"), EvalSetSpec(path="x")).examples
    chunks = [passage for passage in passages if passage.source == example.gold[0]]
    assert len(chunks) > 1 and all("fox" in chunk.text for chunk in chunks)
    assert [passage.text for passage in passages if passage not in chunks] == ["q: x\na: y", "Short."]
    assert len({passage.id for passage in passages}) == len(passages)
