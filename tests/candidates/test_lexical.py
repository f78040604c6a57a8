"""Search by words in every script, and both kinds of scores made one."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ftvp_core.candidates.embedders import Offline
from ftvp_core.candidates.index import dense_index
from ftvp_core.candidates.lexical import K1, B, LexicalIndex, tokens
from ftvp_core.candidates.ranking import HybridIndex, Scores

DATA = os.environ.get("FTVP_TEST_DATA")
KOREAN = [
    "카드를 잃어버리면 바로 고객센터에 전화해 정지하세요.",
    "환불은 영업일 기준으로 사흘이 걸립니다.",
    "배송지는 주문 내역에서 바꿀 수 있습니다.",
    "비밀번호를 잊으셨다면 로그인 화면에서 재설정하세요.",
    "돈을 보내기 전에 계좌번호를 확인하세요.",
    "영업시간은 평일 아홉 시부터 여섯 시까지입니다.",
]
ARABIC = [
    "يُرْجَى الاتصال بخدمة العملاء لإيقاف البطاقة المفقودة.",
    "تستغرق إعادة المبلغ ثلاثة أيام عمل.",
    "يمكنك تغيير عنوان التوصيل من صفحة الطلبات.",
    "ساعات العمل من التاسعة إلى السادسة.",
]
GERMAN = [
    "Die Kreditkartenabrechnung kommt am Monatsende.",
    "Rücksendungen sind innerhalb von vierzehn Tagen möglich.",
    "Das Passwort lässt sich im Kundenkonto zurücksetzen.",
    "Die Straßenbahn hält vor der Filiale.",
]


def first(passages: Sequence[str], question: str) -> int:
    return LexicalIndex(passages).query([question], 3)[0][0]


@pytest.mark.parametrize(
    ("passages", "question", "expected"),
    [
        (KOREAN, "카드가 없어졌어요", 0),  # 카드를 with another particle
        (KOREAN, "환불이 언제 되나요?", 1),
        (KOREAN, "배송지 변경", 2),
        (KOREAN, "비밀번호는 어떻게 바꾸나요", 3),
        (KOREAN, "돈이 잘못 갔어요", 4),  # a noun of one syllable
        (KOREAN, "영업시간이 궁금해요", 5),
        (ARABIC, "كيف أوقف بطاقتي؟ فقدت بطاقة", 0),
        (ARABIC, "متى يصل المبلغ", 1),
        (ARABIC, "أريد تغيير العنوان", 2),
        (GERMAN, "Wann kommt die Abrechnung meiner Kreditkarte?", 0),  # two parts of one compound
        (GERMAN, "Kann ich etwas zurückschicken? Rücksendung", 1),
        (GERMAN, "STRASSENBAHN", 3),
    ],
)
def test_a_question_finds_its_passage_whatever_clings_to_the_word(
    passages: list[str], question: str, expected: int
) -> None:
    assert first(passages, question) == expected


def test_words_of_every_script_are_cut_alike_on_both_sides() -> None:
    assert tokens("카드를") == ["카드", "드를"]
    assert tokens("돈을 iPhone15에서") == [
        "돈을",
        "돈",
        "iphone15",
        "ipho",
        "phon",
        "hone",
        "one1",
        "ne15",
        "에서",
        "에",
    ]
    assert tokens("كِتَابٌ") == tokens("كتاب")
    assert tokens("مدرسة إلى") == tokens("مدرسه الي")
    assert tokens("Straße") == tokens("STRASSE")
    assert tokens("高雄市") == ["高雄", "雄市"]
    assert tokens("हिन्दी।")[0] == "हिन्दी"
    assert tokens("NA 007 1e5 — !?") == ["na", "007", "1e5"]


def test_scores_are_bm25s() -> None:
    """The formula by hand: of two texts with the word once, the shorter is better by just this much."""
    index = LexicalIndex(["red fox", "red fox in deep snow", "one owl"])
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    mean = (2 + 5 + 2) / 3
    expected = [idf / (1 + K1 * (1 - B + B * length / mean)) for length in (2, 5)]
    scored = index.scores("red")
    assert scored.tolist() == pytest.approx([*expected, 0.0])


def test_a_text_without_a_common_word_is_not_found() -> None:
    index = LexicalIndex(["red fox", "one owl", "red deer"])
    assert index.query(["a red fox", "zebra", "", "?!"], 3) == [[0, 2], [], [], []]
    assert LexicalIndex(["?!", "…"]).query(["anything"], 2) == [[]]


class ByWords:
    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, dtype=np.float32)

    def scores(self, text: str) -> Scores:
        return self._scores


class ByMeaning(ByWords):
    def similar(self, texts: Sequence[str]) -> Iterator[Scores]:
        return (self._scores for _ in texts)


def test_fusion_is_a_convex_combination_of_scores_between_their_least_and_the_best() -> None:
    """By hand: 0.2 · BM25 ÷ its best + 0.8 · (cosine + 1) ÷ (its best + 1) is 0.80, 0.76, 0.74 and 0.40."""
    hybrid = HybridIndex(ByWords(0, 4, 10, 0), ByMeaning(0.6, 0.36, 0.08, -0.2))
    assert hybrid.query(["q"], 9) == [[0, 1, 2, 3]]
    assert hybrid.query(["q", "q"], 2) == [[0, 1], [0, 1]]


def test_what_knows_nothing_decides_nothing_in_a_fusion() -> None:
    """A question of words that one part doesn't know: the order is the other's."""
    assert HybridIndex(ByWords(0, 0, 0), ByMeaning(0.1, 0.3, 0.2)).query(["q"], 3) == [[1, 2, 0]]
    assert HybridIndex(ByWords(1, 3, 2), ByMeaning(0, 0, 0)).query(["q"], 3) == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("passages", "question", "expected"), [(KOREAN, "환불이 언제 되나요?", 1), (ARABIC, "متى يصل المبلغ", 1)]
)
def test_words_decide_in_a_language_that_the_offline_embedder_hardly_knows(
    tmp_path: Path, passages: list[str], question: str, expected: int
) -> None:
    hybrid = HybridIndex(LexicalIndex(passages), dense_index(passages, Offline(), tmp_path, lambda done, total: None))
    assert hybrid.query([question], 1) == [[expected]]


@pytest.mark.skipif(DATA is None, reason="FTVP_TEST_DATA is not set")
@pytest.mark.parametrize(("language", "least"), [("en", 0.90), ("de", 0.90)])
def test_words_find_most_of_xquads_passages_first(language: str, least: float) -> None:
    """An independent BM25 over whole words finds 0.904 and 0.846 first; pieces of words bring German's compounds."""
    articles = json.loads(Path(str(DATA), "xquad", f"xquad.{language}.json").read_text())["data"]
    paragraphs = [one for article in articles for one in article["paragraphs"]]
    questions = [(qa["question"], at) for at, one in enumerate(paragraphs) for qa in one["qas"]]
    found = LexicalIndex([one["context"] for one in paragraphs]).query([question for question, _ in questions], 1)
    right = sum(positions == [at] for positions, (_, at) in zip(found, questions, strict=True))
    assert right / len(questions) >= least
