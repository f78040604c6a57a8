"""Checks of what rows hold: references of mixed form, refusals, spellings, prompts, personal data, languages."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftvp_core.data.checks import check
from ftvp_core.data.checks.language import language_of
from ftvp_core.data.mending import mend
from ftvp_core.types import Example, ExampleSet, Finding, Mapped

SENTENCES = [f"The answer to the question is number {at}, as it is written." for at in range(60)]
CARD, GITHUB_KEY, AWS_KEY = "4111 1111 1111 1111", "ghp_" + "a1B2" * 9, "AKIA" + "ABCDEFGHIJKLMNOP"


def answered(answers: Sequence[str], **keys: str) -> ExampleSet:
    made = tuple(Example(str(at), f"question {at}", (text,), {}, **keys) for at, text in enumerate(answers))  # type: ignore[arg-type]
    return ExampleSet("e", "0", "csv", "utf-8", Mapped("text", "answer"), made)


def asking(texts: Sequence[str]) -> ExampleSet:
    made = tuple(Example(str(at), text, ("yes" if at % 2 else "no",), {}) for at, text in enumerate(texts))
    return ExampleSet("e", "0", "csv", "utf-8", Mapped("text", "answer"), made)


def found(examples: ExampleSet, train: ExampleSet | None = None) -> dict[str, Finding]:
    return {one.id: one for one in check(examples, train)}


def test_answers_that_are_all_alike_have_no_finding() -> None:
    assert set(found(answered(SENTENCES))) == {"detectable-difference"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SENTENCES[5] + " \n", "white space around them 1"),
        (json.dumps({"answer": SENTENCES[5]}), "JSON 1"),
        (" ".join(SENTENCES), "a length far from the others' 1"),
        ("No.", "a length far from the others' 1"),
    ],
)
def test_an_answer_of_another_form_is_named(answer: str, said: str) -> None:
    mixed = found(answered([*SENTENCES, answer]))["format-mixed"]
    assert mixed.rows == (61,) and said in mixed.message


def test_a_spreadsheets_error_is_named_in_a_question_and_in_an_answer() -> None:
    answers = answered([*SENTENCES, "#REF!", " #N/A "])
    asked = replace(answers.examples[3], input="#VALUE!")
    error = found(replace(answers, examples=(*answers.examples[:3], asked, *answers.examples[4:])))["error-cell"]
    assert error.rows == (4, 61, 62) and "(#N/A, #REF!, #VALUE!): 3" in error.message
    assert "error-cell" not in found(answered(["What does #REF! mean?", "N/A", "#1"]))
    trained = check(asking(["a", "b"]), answered(["#N/A"]))
    assert [one.part for one in trained if one.id == "train-error-cell"] == ["train"]


def test_a_row_that_asks_nothing_is_named_where_others_ask_something() -> None:
    asked = asking([*SENTENCES, " ", ""])
    empty = found(asked)["empty-input"]
    assert (empty.severity, empty.rows) == ("warning", (61, 62))
    mended = mend("empty-input", asked, None)
    assert mended is not None and (mended.dropped, len(mended.examples)) == (2, 60)
    assert "empty-input" not in found(asking([""] * 30))


def test_broken_json_beside_json_is_named() -> None:
    answers = [json.dumps({"answer": at}) for at in range(30)]
    assert found(answered([*answers, '{"answer": 3']))["format-mixed"].rows == (31,)
    assert "format-mixed" not in found(answered(answers))


@pytest.mark.parametrize(
    "answer", ["The answer to the question is", "Call it as f[0, then g, and so on.", "Look, as follows:"]
)
def test_an_answer_that_breaks_off_is_named(answer: str) -> None:
    assert found(answered([*SENTENCES, answer]))["answer-cut"].rows == (61,)


def test_answers_without_full_stops_are_no_cut_ones() -> None:
    assert "answer-cut" not in found(answered([text.rstrip(".") for text in SENTENCES]))


@pytest.mark.parametrize(
    "answer", ["Negative", "1. Tokyo\n2. The city of Manila in the Philippines", "It is 5", "Go there: https://a.b/c"]
)
def test_a_list_a_name_or_an_address_needs_no_end(answer: str) -> None:
    assert "answer-cut" not in found(answered([*SENTENCES, answer]))


def test_white_space_alone_is_an_empty_reference() -> None:
    assert found(answered([*SENTENCES, " \n"]))["empty-reference"].rows == (61,)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.", "I’m sorry, I cannot assist with this request.",
        "As an AI language model, I have no opinion.", "I cannot provide that.", "Unfortunately, I am unable to do it.",
        "죄송하지만 그 요청은 도와드릴 수 없습니다.", "AI 언어 모델로서 의견이 없습니다.", "죄송합니다. 답변을 드리기 어렵습니다.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.", "Als KI-Sprachmodell habe ich keine Meinung.",
        "عذرًا، لا أستطيع مساعدتك في ذلك.", "بصفتي نموذجًا لغويًا، ليس لدي رأي.",
    ],
)  # fmt: skip
def test_a_refusal_is_named_in_each_language(answer: str) -> None:
    train = found(answered(["x"]), answered([*SENTENCES, answer]))
    assert train["train-refusal"].rows == (61,) and "learns to refuse" in train["train-refusal"].message


@pytest.mark.parametrize(
    "answer",
    [
        "Sorry to hear that. Your card is on its way.",
        "I can help with that.",
        "Ich kann das machen.",
        "죄송합니다. 바로 처리했습니다.",
    ],
)
def test_an_answer_that_helps_is_no_refusal(answer: str) -> None:
    assert "refusal" not in found(answered([*SENTENCES, answer]))


@pytest.mark.parametrize(
    ("often", "rare"),
    [
        ("card_arrival", "Card arrival"), ("card_arrival", "card_arival"), ("refund", "refnud"), ("환불 요청", "환불요청"),
        ("lost_or_stolen_card", "lost_or_stollen_crad"), ("بِطَاقَة", "بطاقة"), ("Größe", "große"), ("no", "No"),
    ],
)  # fmt: skip
def test_a_label_in_two_spellings_is_named(often: str, rare: str) -> None:
    spelling = found(answered([often] * 40 + ["something else"] * 20 + [rare] * 4))["label-spelling"]
    assert repr(rare) in spelling.message and spelling.rows == (*range(1, 41), *range(61, 65))


@pytest.mark.parametrize(
    ("often", "rare"),
    [
        ("card 1", "card 2"), ("positive", "negative"), ("A1", "A2"), ("activate", "deactivate"), ("A", "A-"),
        (">50K", "<=50K"), ("typical", "atypical"), ("valid", "invalid"), ("환불", "환전"), ("1", "-1"),
    ],
)  # fmt: skip
def test_two_labels_are_no_spellings_of_one(often: str, rare: str) -> None:
    assert "label-spelling" not in found(answered([often] * 40 + ["something else"] * 20 + [rare] * 4))


def test_two_frequent_labels_a_letter_apart_are_two() -> None:
    assert "label-spelling" not in found(answered(["pin_change", "pin_charge"] * 30))


def test_several_system_prompts_are_named_and_others_than_a_candidates() -> None:
    one = answered(SENTENCES, system="Be brief.")
    assert "system-prompt" not in found(one, one)
    mixed = replace(one, examples=(*one.examples[:59], replace(one.examples[59], system=None)))
    assert found(mixed)["system-prompt"].rows == (60,)
    in_train = found(one, mixed)["system-prompt"]
    assert (in_train.part, in_train.rows) == ("train", (60,)) and "1 rows have none" in in_train.message
    other = found(one, answered(SENTENCES, system="Be long."))["system-prompt"]
    assert "differ" in other.message and other.count == 0
    systems = {"same": " be BRIEF.", "none": None, "with column": "{x}", "pirate": "Arr."}
    asked = {found.id: found for found in check(one, systems=systems)}["system-prompt"]
    assert "another one than 'pirate' will send" in asked.message


def test_rows_that_outgrow_a_window_are_named_with_how_they_were_counted() -> None:
    rows = answered([*SENTENCES, "word " * 300])
    long = {one.id: one for one in check(rows, window=350)}["too-long"]
    assert long.rows == (61,) and "tokens (estimated: bytes ÷ 4)" in long.message
    assert "too-long" not in found(rows)
    assert "100,000 tokens" in found(answered([*SENTENCES, "word " * 90_000]))["too-long"].message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to jo.doe@firma.de please", "e-mail"), ("mail: 홍길동@회사.한국 로", "e-mail"),
        (f"my card is {CARD}", "payment cards"), (f"token {GITHUB_KEY} leaked", "keys"), (f"use {AWS_KEY} now", "keys"),
        ("use sk-proj-abcdefghij0123456789 now", "keys"), ("call +49 30 901820 today", "telephone"),
        ("전화번호는 010-1234-5678 입니다", "telephone"), ("Ruf 030 901820 an", "telephone"),
        ("call (212) 555-0187 or (212) 736-5000", "telephone"), ("رقمي ‎050 123 4567 اتصل", "telephone"),
    ],
)  # fmt: skip
def test_personal_data_is_named_by_kind_and_row_and_never_shown(text: str, kind: str) -> None:
    private = found(asking([*SENTENCES, text]))["personal-data"]
    assert private.rows == (61,) and f"({kind}" in private.message
    assert not any(part in private.message for part in text.split() if any(map(str.isdigit, part)) or "@" in part)


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 is late", "write to me@example.com", "the id is 12345678901234567890", "on 2024-01-02 12:30",
        "item 20240102123456 of 1,000,000", "version 1.2.3.4.5.6.7.8", "a@b", "tracking 1234567890", "cos is (-0.3571428571)",
    ],
)  # fmt: skip
def test_numbers_and_made_up_addresses_are_no_personal_data(text: str) -> None:
    assert "personal-data" not in found(asking([*SENTENCES, text]))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text", ["a" * 300_000 + " @", "eyJ" * 100_000, "://a:" * 60_000, "1 " * 150_000, "word " * 60_000]
)
def test_a_text_of_many_pages_takes_no_time(text: str) -> None:
    assert "detectable-difference" in found(asking([*SENTENCES, text, text + "b"]))


GERMAN = [f"Wo finde ich in der neuen App meine Karte, und wie lange dauert es, Frage {at}?" for at in range(30)]
ENGLISH = [f"Where in the new app do I find my card, and how long does it take, question {at}?" for at in range(30)]


def test_sets_in_two_languages_are_named() -> None:
    differs = found(asking(GERMAN), asking(ENGLISH))["language-mix"]
    assert differs.severity == "warning" and "mostly de 100 %" in differs.message and "en 100 %" in differs.message
    mixed = found(asking([*GERMAN, *ENGLISH[:10]]))["language-mix"]
    assert mixed.severity == "info" and "de 75 %, en 25 %" in mixed.message
    assert "language-mix" not in found(asking(GERMAN), asking(GERMAN))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("카드 분실", "ko"),
        ("カードはどこ", "ja"),
        ("卡在哪里", "zh"),
        ("أين أجد بطاقتي الجديدة من فضلك؟", "ar"),
        ("ok", None),
        ("123", None),
    ],
)
def test_a_script_of_one_language_tells_it_however_short(text: str, code: str | None) -> None:
    assert language_of(text) == code


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=40), st.lists(st.text(max_size=12), max_size=2)), max_size=30))
def test_whatever_rows_hold_every_finding_is_one_line_about_rows_that_exist(rows: list[tuple[str, list[str]]]) -> None:
    made = tuple(Example(str(at), text, tuple(answers), {}) for at, (text, answers) in enumerate(rows))
    examples = ExampleSet("e", "0", "csv", "utf-8", Mapped("text", "answer"), made)
    for one in check(examples, examples, window=10):
        assert one.message and len(one.message.splitlines()) == 1
        assert all(1 <= row <= len(made) for row in (*one.rows, *(row for pair in one.pairs for row in pair)))
        assert one.count == len(one.rows) or not one.rows
        mended = mend(one.id, examples, examples)
        assert mended is None or (mended.part == "train") == (one.part == "train" or one.id.startswith("leak"))
