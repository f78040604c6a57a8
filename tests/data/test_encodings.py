"""Encodings, found in files as short as they come, reported, and overridden by the user's word."""

import pytest

from ftvp_core.data.encodings import decode, encoding_of
from ftvp_core.errors import UserError
from tests.data.short_texts import ENCODINGS, files

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize(
    ("language", "encoding"), [(language, name) for language, names in ENCODINGS.items() for name in names + UNICODE]
)
def test_files_of_one_to_a_hundred_rows_are_read_as_they_were_written(language: str, encoding: str) -> None:
    wrong = [text for text in files(language) if decode(text.encode(encoding), "a.csv", None)[0] != text]
    assert wrong == []


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Моя карта ещё не пришла"),
        ("koi8-r", "Моя карта ещё не пришла"),
        ("cp1253", "Η κάρτα μου δεν έχει έρθει"),
        ("cp1255", "הכרטיס שלי עוד לא הגיע"),
        ("cp874", "บัตรของฉันยังมาไม่ถึง"),
        ("cp1254", "Kartım hâlâ gelmedi, şifremi unuttum"),
    ],
)
def test_other_scripts_are_found_too(encoding: str, text: str) -> None:
    content = f'question,label\n"{text}",x\n'
    assert decode(content.encode(encoding), "a.csv", None)[0] == content


def test_letters_that_begin_late_are_still_found() -> None:
    text = "question,label\n" + "plain,x\n" * 60_000 + "카드가 아직 안 왔어요,배송\n환불은 언제 되나요,환불\n"
    assert decode(text.encode("cp949"), "a.csv", None) == (text, "cp949")


def test_null_characters_alone_make_no_utf_16() -> None:
    assert decode(b"a,b\nx\0y,z\n", "a.csv", None) == ("a,b\nx\0y,z\n", "utf-8")


@pytest.mark.parametrize("content", [b"\0\1\2\xff\xfe\0" * 50, bytes(range(256)), b"\x80\x01\x02\x03, \xff\xfe" * 9])
def test_what_is_no_text_is_said(content: bytes) -> None:
    with pytest.raises(UserError, match="no text encoding that fits"):
        encoding_of(content, "a.csv", None)


def test_a_given_encoding_is_taken_and_a_mark_is_no_text() -> None:
    assert decode("é".encode("latin-1"), "a", "cp1256")[0] == "é"
    assert decode("카드".encode("utf-8-sig"), "a", "utf-8")[0] == "카드"
    assert decode("카드".encode("utf-16"), "a", "utf-16-le")[0] == "카드"


@pytest.mark.parametrize("name", ["klingon", "zlib", "", "a\0b"])
def test_what_is_no_encoding_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="isn't known"):
        encoding_of(b"abc", "a.csv", name)


def test_a_damaged_utf_8_file_is_not_taken_for_another_encoding() -> None:
    text = ("카드가 아직 안 왔어요, 언제 도착하나요?\n" * 20).encode()
    for damaged in (text[:-3], text.replace(b",", b"\xff", 1)):
        with pytest.raises(UserError, match="UTF-8 except at byte"):
            encoding_of(damaged, "a.csv", None)
