"""HTML, PDF and DOCX as text: headings as Markdown's, tables and lists as text, a PDF page by page."""

import io
import logging
import re
from collections.abc import Callable
from unicodedata import normalize
from zipfile import ZipFile

from ftvp_core.data.encodings import decode
from ftvp_core.errors import UserError

#: What stands in an HTML page and is no text of it.
NO_TEXT = ("script", "style", "noscript", "template", "head")
#: Ligatures and the forms that Arabic letters take in a word: glyphs, in whose place stand letters.
_FORMS = re.compile("[\ufb00-\ufb06\ufb50-\ufdff\ufe70-\ufefc]+")
#: Tags inside each other: where the converter would leave Python's stack.
MOST_HTML_DEPTH = 250
#: Of all XML in a DOCX: a thousand pages are about ten million.
MOST_DOCX_BYTES = 50_000_000


def kind_of(data: bytes, suffix: str) -> str | None:
    """Which of `READERS` reads a file: by what is in it, then by its name; None for plain text and tables."""
    if b"%PDF-" in data[:1024]:
        return ".pdf"
    if data.startswith(b"PK\x03\x04") and b"word/document.xml" in data:
        return ".docx"
    return ".html" if suffix == ".htm" else suffix if suffix in READERS else None


def read_document(data: bytes, kind: str, where: str) -> list[str]:
    """A document's texts: one a page for a PDF, else one. A page without any is empty. Raises UserError."""
    try:
        texts = READERS[kind](data, where)
    except (UserError, MemoryError):
        raise
    except RecursionError:
        raise UserError(where, "holds too many parts inside each other", "save it in a simpler form") from None
    except Exception as error:  # parsers of damaged files raise whatever the damage leads to
        cause = f"{type(error).__name__}: {error}"[:200]
        raise UserError(where, f"can't be read as {kind[1:].upper()} ({cause})", "open and save it again") from error
    return [text.encode(errors="replace").decode() for text in texts]  # half characters are no text


def _html(data: bytes, where: str) -> list[str]:
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    try:
        text, _ = decode(data, where, "utf-8")
    except UserError:
        text, _ = decode(data, where, declared)
    return [_as_markdown(text)]


def _as_markdown(html: str) -> str:
    """Its text, with Markdown's headings, lists and tables; a page without a heading has its title as one."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    _refuse_depth(html)
    page = BeautifulSoup(html, "lxml")
    title = page.title.get_text(" ", strip=True) if page.title else ""
    for tag in page(NO_TEXT):
        tag.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        strip=["a", "img"],
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    text: str = converter.convert_soup(page)
    heads = title and text.strip() and page.find("h1") is None
    return f"# {title}\n\n{text}" if heads else text


def _refuse_depth(html: str) -> None:
    """Said within a moment: building a tree of such depth takes the seconds that a reader has. Raises RecursionError."""
    from lxml.etree import HTMLParser, fromstring

    class Depth:
        now = 0

        def start(self, *_: object) -> None:
            self.now += 1
            if self.now > MOST_HTML_DEPTH:
                raise RecursionError

        def end(self, *_: object) -> None:
            self.now -= 1

        def close(self) -> None: ...

    if html.strip():
        fromstring(html.encode(errors="replace"), HTMLParser(target=Depth(), encoding="utf-8", huge_tree=True))


def _pdf(data: bytes, where: str) -> list[str]:
    from pypdf import PasswordType, PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # a line for each oddity that it reads over
    pdf = PdfReader(io.BytesIO(data))
    if pdf.is_encrypted and pdf.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise UserError(where, "is protected by a password", "save it without one")
    return [_FORMS.sub(lambda glyphs: normalize("NFKC", glyphs[0]), page.extract_text()) for page in pdf.pages]


def _docx(data: bytes, where: str) -> list[str]:
    from mammoth import convert_to_html
    from mammoth.images import img_element

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(where, "is protected by a password, or an old Word document", "save it as DOCX without one")
    _refuse_bombs(data, where)
    html = convert_to_html(io.BytesIO(data), convert_image=img_element(lambda _: {})).value
    return [_as_markdown(html)]


def _refuse_bombs(data: bytes, where: str) -> None:
    """Its parser would take seconds and gigabytes for what a few kilobytes unpack or expand to."""
    with ZipFile(io.BytesIO(data)) as archive:
        size = sum(part.file_size for part in archive.infolist() if part.filename.endswith(".xml"))
        if size > MOST_DOCX_BYTES:
            raise UserError(
                where, f"unpacks to {size // 1_000_000} MB; at most {MOST_DOCX_BYTES // 1_000_000} are read"
            )
        for part in archive.infolist():
            if part.filename.endswith(".xml") and b"<!ENTITY" in archive.read(part):
                raise UserError(where, f"defines entities in {part.filename}, which no word processor writes")


READERS: dict[str, Callable[[bytes, str], list[str]]] = {".html": _html, ".pdf": _pdf, ".docx": _docx}
