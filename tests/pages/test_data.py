"""The Data page: what a file is, how it was understood, what is wrong with it, and the way back from each change."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from streamlit.testing.v1 import AppTest

from ftvp_core.drafts import draft_keys
from tests.pages import conftest
from tests.pages.conftest import Home

Opened = Callable[..., AppTest]

CHATS = "".join(
    json.dumps(
        {
            "messages": [
                {"role": "system", "content": "Sei kurz."},
                {"role": "user", "content": f"Frage {at}: wo ist die Karte?"},
                {"role": "assistant", "content": f"Antwort {at}"},
            ]
        },
        ensure_ascii=False,
    )
    + "\n"
    for at in range(12)
)
KOREAN = "질문,라벨\n" + "".join(f"카드가 {at}번째로 안 왔어요,배송\n환불 {at}번 해 주세요,환불\n" for at in range(10))
RAGAS_OR_COLUMNS = json.dumps([{"question": f"q{at}", "answer": f"a{at}", "contexts": ["c"]} for at in range(3)])
RECORDED = "input,expected_output,actual_output\n" + "".join(
    f"q{at},yes,{'yes' if at % 2 else 'no'}\n" for at in range(9)
)


@pytest.fixture
def page(home: Home, opened: Opened) -> AppTest:
    return opened("pages/1_Data.py")


def upload(at: AppTest, name: str, content: str | bytes, part: str = "eval_set") -> AppTest:
    data = content.encode() if isinstance(content, str) else content
    box = next(box for box in at.file_uploader if box.key and box.key.startswith(f"upload-{part}"))
    box.set_value((name, data, "application/octet-stream"))
    at.run()
    assert not at.exception, at.exception
    return at


def said(at: AppTest) -> str:
    """The page's words, without what keeps their punctuation from being markup; errors too."""
    return "\n".join([conftest.said(at), *(str(error.value) for error in at.error)]).replace("\\", "")


def shown(at: AppTest) -> list[str]:
    """The tables' cells, as text."""
    return [str(cell) for table in at.dataframe for row in table.value.values.tolist() for cell in row]


def keys_of(home: Home) -> dict[str, object]:
    store = home.store
    newest = store.newest_draft()
    assert newest is not None
    return draft_keys(store, newest)


def test_chats_need_no_mapping_and_show_what_was_understood(page: AppTest) -> None:
    upload(page, "chats.jsonl", CHATS)
    assert "12 rows, openai-chat, utf-8" in said(page)
    assert {"Sei kurz.", "Frage 0: wo ist die Karte?", "Antwort 0"} <= set(shown(page))


def test_korean_in_its_own_encoding_is_read(page: AppTest) -> None:
    upload(page, "문의.csv", KOREAN.encode("cp949"))
    assert "20 rows, csv, cp949" in said(page)
    assert {"카드가 0번째로 안 왔어요", "배송"} <= set(shown(page))


def test_a_file_that_reads_two_ways_asks_and_takes_the_answer(home: Home, page: AppTest) -> None:
    upload(page, "rows.json", RAGAS_OR_COLUMNS)
    assert "2 ways" in said(page)
    names = [button.label for button in page.button if button.label.startswith("Read it as")]
    assert len(names) == 2
    next(button for button in page.button if button.label == "Read it as columns").click()
    page.run()
    assert not page.exception and not page.error, said(page)
    assert "a0" in shown(page)


def test_recorded_answers_become_a_candidate_and_no_reference(home: Home, page: AppTest) -> None:
    upload(page, "old.csv", RECORDED)
    assert "9 recorded answers" in said(page)
    next(button for button in page.button if button.label == "Compare them as a candidate").click()
    page.run()
    keys = keys_of(home)
    candidates: Any = keys["candidates"]
    assert Path(candidates[0]["recorded"]).read_text(encoding="utf-8").splitlines()[0] == "id,output"
    assert "9 recorded answers" not in said(page)


def test_a_leak_is_mended_in_a_new_version_and_undone(home: Home, page: AppTest) -> None:
    rows = "".join(f"question number {'abcdefghij'[at]} of them all,{'xy'[at % 2]}\n" for at in range(10))
    upload(page, "eval.csv", "text,label\n" + rows)
    trained = "".join(f"training row {chr(97 + at)} says something,{'xy'[at % 2]}\n" for at in range(20))
    upload(page, "train.csv", "text,label\n" + trained + "QUESTION number a of them all,x\n", "train_set")
    assert "Eval rows that stand in the training set too: 1" in said(page)
    next(button for button in page.button if button.key == "mend-leak-exact").click()
    page.run()
    assert not page.exception
    assert "Eval rows that stand in the training set too" not in said(page)
    assert "1 dropped, 20 kept" in said(page)
    next(button for button in page.button if button.key == "undo-train_set").click()
    page.run()
    assert "Eval rows that stand in the training set too: 1" in said(page)
    assert str(keys_of(home)["train_set"]["path"]).endswith("train.csv")  # type: ignore[index]


def test_a_training_set_is_split_off_and_undone(home: Home, page: AppTest) -> None:
    upload(page, "all.csv", KOREAN)
    next(button for button in page.button if button.label == "Split").click()
    page.run()
    assert not page.exception
    assert said(page).count("10 rows to train on, 10 to evaluate") == 2
    next(button for button in page.button if button.key == "undo-eval_set").click()
    page.run()
    assert "train_set" not in keys_of(home)
    assert "20 rows" in said(page)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"text,label\n", "found no rows"),
        ("broken.jsonl", b'{"a": \n', "not JSON"),
        ("book.xlsx", b"PK\x03\x04 not a workbook", "book.xlsx"),
        ("paper.csv", b"%PDF-1.7 ...", "is a PDF"),
        ("numbers.csv", b"a,b\n1,2\n", "no column is recognised"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_in_one_line(page: AppTest, name: str, content: bytes, found: str) -> None:
    upload(page, name, content)
    assert any(found in line for line in said(page).splitlines()), said(page)


def test_a_broken_file_is_named_as_its_owner_knows_it_and_once(home: Home, page: AppTest) -> None:
    upload(page, "book.xlsx", b"PK\x03\x04 not a workbook")
    told = [line for line in said(page).splitlines() if "book.xlsx" in line]
    assert len(told) == 1 and told[0].startswith("book.xlsx: can't be read as a workbook")
    assert str(home.folder) not in said(page)
    assert "Nothing is checked while a file can't be read" in said(page)


def test_a_workbooks_error_cells_are_found_and_mended(home: Home, page: AppTest) -> None:
    book = Workbook()
    assert book.active is not None
    for row in [["input", "reference"], *([f"question {at}", "yes" if at % 2 else "no"] for at in range(60))]:
        book.active.append(row)
    book.active["B5"] = "#REF!"
    book.active["B5"].data_type = "e"
    content = BytesIO()
    book.save(content)
    upload(page, "book.xlsx", content.getvalue())
    assert "**book.xlsx**: 60 rows, xlsx, sheet Sheet" in said(page)
    assert "a spreadsheet's error (#REF!): 1" in said(page)
    next(button for button in page.button if button.key == "mend-error-cell").click()
    page.run()
    assert "59 rows" in said(page) and "spreadsheet's error" not in said(page)
