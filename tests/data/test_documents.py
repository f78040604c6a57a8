"""HTML, PDF and DOCX as knowledge: their words, headings, lists and tables in every script; what has none is named."""

import io
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from ftvp_core.data.documents import read_document
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.errors import UserError
from ftvp_core.spec import KnowledgeSpec
from tests.data import small_pdf

SPEC = KnowledgeSpec(path="x")
SENTENCES = {
    "Korean": "카드는 닷새 안에 도착합니다.",
    "German": "Größere Überweisungen dürfen Sie ändern.",
    "Arabic": "تصل البطاقة خلال خمسة أيام.",
}
PAGE = """<html><head><title>Help</title><style>p {color: red}</style><script>track("secret")</script></head>
<body><h1>Fees &amp; limits</h1><p>%s <a href="https://example.com/x">More</a><h2>Table</h2>
<table><tr><th>plan<th>fee<tr><td>small<td>1_000*</table><ul><li>first<li>second</ul></body></html>"""
NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(body: str, styles: str = "") -> bytes:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relation = '<Relationship Id="r{0}" Type="{1}/{2}" Target="{3}"/>'
    relations = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": relations.format(relation.format(1, kind, "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relations.format(relation.format(1, kind, "styles", "styles.xml")),
        "word/document.xml": f"<w:document {NAMESPACE}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {NAMESPACE}>{styles}</w:styles>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def paragraph(text: str, style: str = "") -> str:
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_html_keeps_words_headings_lists_and_tables_and_no_script(sentence: str) -> None:
    (text,) = read_document((PAGE % sentence).encode(), ".html", "a.html")
    assert (
        text.split()
        == (
            f"# Fees & limits {sentence} More ## Table | plan | fee | | --- | --- | | small | 1_000* | * first * second"
        ).split()
    )


@pytest.mark.parametrize(
    ("encoding", "head"),
    [("utf-8", ""), ("euc-kr", '<meta charset="euc-kr">'), ("cp949", ""), ("utf-8", '<meta charset="euc-kr">')],
)
def test_html_is_read_in_the_encoding_that_it_is_in(encoding: str, head: str) -> None:
    (text,) = read_document(f"<html>{head}<p>{SENTENCES['Korean']}".encode(encoding), ".html", "a.html")
    assert text.strip() == SENTENCES["Korean"]


def test_a_page_without_a_heading_has_its_title_as_one() -> None:
    (text,) = read_document(b"<title>Opening hours</title><p>From nine.", ".html", "a.html")
    assert text.split("\n")[0] == "# Opening hours" and "From nine." in text


def test_a_pdf_is_read_page_by_page_in_every_script_and_its_empty_pages_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(small_pdf.of_pages([SENTENCES["Korean"], "", SENTENCES["German"]]))
    passages = read_knowledge(tmp_path, SPEC).passages
    assert [(one.id, one.source, one.text) for one in passages] == [
        ("a.pdf#p1", "a.pdf", SENTENCES["Korean"]),
        ("a.pdf#p3", "a.pdf", SENTENCES["German"]),
    ]


def test_a_pdfs_arabic_is_read_in_its_own_direction_and_without_glyph_forms() -> None:
    """A PDF places glyphs from the left; a word processor's hold forms of letters, such as the ligature of lam and alef."""
    (text,) = read_document(small_pdf.of_pages([SENTENCES["Arabic"][::-1]]), ".pdf", "a.pdf")
    assert text.strip().strip(".") == SENTENCES["Arabic"].strip(".")
    forms = read_document(small_pdf.of_pages(["\ufefb", "o\ufb03ce"]), ".pdf", "a.pdf")
    assert [text.strip() for text in forms] == ["لا", "office"]


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_docx_keeps_words_headings_and_tables(sentence: str) -> None:
    """Word names a heading's style in the user's language and keeps `heading 1` inside: here it is Korean."""
    row = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in ("plan", "fee"))
    body = paragraph("Fees", "1") + paragraph(sentence) + f"<w:tbl><w:tr>{row}</w:tr></w:tbl>"
    style = '<w:style w:type="paragraph" w:styleId="1"><w:name w:val="heading 1"/></w:style>'
    (text,) = read_document(docx(body, style), ".docx", "a.docx")
    assert [line for line in text.split("\n") if line.strip()][:2] == ["# Fees", sentence]
    assert "| plan | fee |" in text


def test_files_that_gave_no_text_are_named_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One text.")
    before = read_knowledge(tmp_path, SPEC)
    (tmp_path / "scan.pdf").write_bytes(small_pdf.of_pages(["", ""]))
    (tmp_path / "empty.docx").write_bytes(docx(""))
    (tmp_path / "script.html").write_text("<script>only()</script>")
    after = read_knowledge(tmp_path, SPEC)
    assert after.empty == ("empty.docx", "scan.pdf", "script.html") and before.empty == ()
    assert (after.sha256, after.passages) == (before.sha256, before.passages)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(UserError, match=r"no text: empty\.docx, scan\.pdf, script\.html"):
        read_knowledge(tmp_path, SPEC)


def encrypted(password: str, owner: str | None = None) -> bytes:
    writer = PdfWriter(PdfReader(io.BytesIO(small_pdf.of_pages(["Locked away."]))))
    writer.encrypt(password, owner, algorithm="AES-256")
    packed = io.BytesIO()
    writer.write(packed)
    return packed.getvalue()


def test_a_password_is_said_and_one_against_printing_alone_is_none() -> None:
    with pytest.raises(UserError, match=r"a\.pdf: is protected by a password"):
        read_document(encrypted("secret"), ".pdf", "a.pdf")
    assert read_document(encrypted("", "owner"), ".pdf", "a.pdf")[0].strip() == "Locked away."


@pytest.mark.parametrize("kind", [".pdf", ".docx"])
@pytest.mark.parametrize(
    "content", [b"", b"plain text", b"%PDF-1.7\n", b"PK\x03\x04word/document.xml", b"\xd0\xcf\x11\xe0"]
)
def test_what_is_cut_off_or_misnamed_is_one_line(kind: str, content: bytes) -> None:
    with pytest.raises(UserError) as raised:
        read_document(content, kind, "a" + kind)
    assert str(raised.value).startswith("a" + kind) and "\n" not in str(raised.value)


def test_a_document_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(small_pdf.of_pages([SENTENCES["Korean"]]))
    (tmp_path / "b.md").write_bytes(docx(paragraph(SENTENCES["German"])))
    texts = [one.text for one in read_knowledge(tmp_path, SPEC).passages]
    assert texts == [SENTENCES["Korean"], SENTENCES["German"]]
