"""PDFs written by hand: any objects, or pages of text in any script."""

from collections.abc import Sequence


def of_objects(objects: Sequence[bytes]) -> bytes:
    """A PDF whose first object is its catalogue."""
    body, places = bytearray(b"%PDF-1.7\n"), []
    for at, one in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (at, one)
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = b"xref\n0 %d\n%strailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(body) + end % (size, table, size, len(body))


def of_pages(pages: Sequence[str]) -> bytes:
    """A page for each text, a line for each of its lines; a page without text is empty, as a scanned one is."""
    letters = sorted(set("".join(pages)) - {"\n"})
    kids = b" ".join(b"%d 0 R" % (6 + 2 * at) for at in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R] /ToUnicode 5 0 R >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /DW 500 /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        _stream(_to_unicode(letters)),
    ]
    for at, text in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> /Contents %d 0 R >>"
            % (7 + 2 * at)
        )
        lines = [b"<%s> Tj T*" % _codes(line, letters) for line in text.splitlines()]
        objects.append(_stream(b"BT /F 12 Tf 14 TL 50 700 Td\n%s\nET" % b"\n".join(lines)))
    return of_objects(objects)


def _codes(line: str, letters: Sequence[str]) -> bytes:
    return b"".join(b"%04x" % (letters.index(letter) + 1) for letter in line)


def _to_unicode(letters: Sequence[str]) -> bytes:
    pairs = b"\n".join(
        b"<%04x> <%s>" % (at, letter.encode("utf-16-be").hex().encode()) for at, letter in enumerate(letters, start=1)
    )
    return (
        b"begincmap\n1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n"
        b"%d beginbfchar\n%s\nendbfchar\nendcmap" % (len(letters), pairs)
    )


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)
