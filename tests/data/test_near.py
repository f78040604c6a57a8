"""Near duplicates: the same text but for case, punctuation, white space or about one word; in every script."""

import subprocess
import sys

import pytest

from ftvp_core.data.near import Forms, form, near_pairs, near_pairs_between, turned_round

LONG = " ".join(f"word{'abcdefghijklmnopqrstuvwxyz'[at % 26]}{'xyzuvw'[at % 6]}" for at in range(60))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Where is my card?", "WHERE IS MY CARD"),
        ("My top-up failed", "my top up  failed!"),
        ("I can't find my card", "I can’t find my card."),
        ("How do I order a new card?", "How do I order a card?"),
        ("My cash withdrawl was declined", "My cash withdrawal was declined"),
        ("What do I have to do if the machine just ate my card today", "What do I have to do if the machine just kept my card today"),
        ("새 카드를 어떻게 활성화할 수 있나요", "카드를 어떻게 활성화할 수 있나요?"),
        ("카드를 어떻게 활성화하나요 알려주세요", "카드는 어떻게 활성화하나요 알려주세요"),
        ("请问我的银行卡什么时候能够寄到", "请问我的卡什么时候能够寄到？"),
        ("私のカードはいつ届きますか", "私のカードはいつ届きますか？"),
        ("كيف يمكنني تفعيل بطاقتي الجديدة", "كيف يمكنني تفعيل بطاقتي؟"),
        ("أَيْنَ بِطَاقَتِي", "أين بطاقتي"),
        ("Wo finde ich meine neue Karte?", "wo finde ich meine Karte"),
        (LONG, LONG.replace("wordax", "other").replace("wordcz", "")),
    ],
)  # fmt: skip
def test_these_are_near(a: str, b: str) -> None:
    assert near_pairs(Forms([a, "something else entirely is asked", b])) == [(2, 0)]
    assert near_pairs_between(Forms([b]), Forms(["something else entirely is asked", a])) == [(0, 1)]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("where is order 123 now?", "where is order 124 now?"),
        ("What is 3 + 4 in total?", "What is 3 - 4 in total?"),
        ("ما هو مجموع ٣ و ٤ الآن", "ما هو مجموع ٣ و ٥ الآن"),
        ("I paid $50 for the card", "I paid €50 for the card"),
        ("How do I learn C++ well today", "How do I learn C# well today"),
        ("I lost my card", "I found my card"),
        ("Lost card", "Card"),
        ("Please tell me all that you know of what they call plan A here", "Please tell me all that you know of what they call plan B here"),
        ("我的卡在哪里", "我的钱在哪里"),
        ("word " * 30_000, "word " * 30_000 + "more"),
        ("?", "!"),
        ("", ""),
        (LONG, " ".join(reversed(LONG.split()))),
    ],
)  # fmt: skip
def test_these_are_not(a: str, b: str) -> None:
    assert near_pairs(Forms([a, b])) == []
    assert near_pairs_between(Forms([a]), Forms([b])) == []


@pytest.mark.parametrize(
    ("a", "b", "turned"),
    [
        ("I can use my card", "I can't use my card", True),
        ("I cannot use it", "I can't use it", False),
        ("Meine Karte geht", "Meine Karte geht nicht", True),
        ("카드가 안 돼요", "카드가 돼요", True),
        ("لا أستطيع الدفع", "أستطيع الدفع", True),
        ("where is my new card", "where is my card", False),
    ],
)
def test_a_not_turns_a_question_round(a: str, b: str, turned: bool) -> None:
    assert turned_round(form(a), form(b)) is turned


def test_every_row_of_a_template_finds_a_partner_although_few_are_compared() -> None:
    names = ["".join(chr(97 + at // 26**place % 26) for place in range(3)) + "ov" for at in range(2_000)]
    rows = [f"please send the gift card to the town of {name} as soon as you can" for name in names]
    assert {row for row, _ in near_pairs(Forms(rows))} == set(range(1, 2_000))
    assert {row for row, _ in near_pairs_between(Forms(rows[:500]), Forms(rows[500:]))} == set(range(500))


def test_the_pairs_are_the_same_in_every_process() -> None:
    code = (
        "from ftvp_core.data.near import Forms, near_pairs\n"
        "print(near_pairs(Forms([f'please send my card to {a} and to {b} today or tomorrow at noon' for a in 'xyzuvw' for b in 'xyzuvw'])))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]
