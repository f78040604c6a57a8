"""Which encoding a file's bytes are in: the one given, else found from the bytes alone, and always reported."""

import codecs
import io

from ftvp_core.errors import UserError

#: UTF-32's mark begins with UTF-16's.
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CHUNK = 1 << 20
#: So many bytes are looked at to tell national encodings apart.
WINDOW = 200_000
#: Fewer faults than one in so many sequences of UTF-8: a damaged file, no other encoding.
SOUND_PER_FAULT = 10


def decode(data: bytes, where: str, encoding: str | None) -> tuple[str, str]:
    """The text and its encoding's name. Raises UserError."""
    name = encoding_of(data, where, encoding)
    return data.decode(name), name


def encoding_of(data: bytes, where: str, encoding: str | None) -> str:
    """The encoding as which all the bytes read: `encoding` if given, else detected. Raises UserError."""
    marked = next((name for bom, name in BOMS if data.startswith(bom)), None)
    if encoding is not None:
        found = _known(encoding, where)
        if marked is not None and marked.startswith(codecs.lookup(found).name.removesuffix("-le").removesuffix("-be")):
            found = marked  # the mark is no part of the text
    else:
        found = marked or _detected(data, where)
    fault = _fault(data, found)
    if fault is not None:
        raise UserError(where, f"not {found} at byte {fault}", "name another encoding")
    return found


def _known(encoding: str, where: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
    except (LookupError, ValueError):  # unknown, no text's encoding, or no name at all
        raise UserError(where, f"found encoding {encoding!r}, which isn't known", "name another") from None
    return encoding


def _fault(data: bytes, encoding: str) -> int | None:
    """The position of the first byte that isn't in the encoding. In pieces: a large file isn't held twice."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(data) + CHUNK, CHUNK):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + CHUNK], final=start >= len(data))
        except UnicodeDecodeError as error:
            return max(0, min(start, len(data)) - pending + error.start)
        except UnicodeError:  # an encoding of domain names, say
            return start
    return None


def _detected(data: bytes, where: str) -> str:
    """UTF-16 without a mark, UTF-8, or a national encoding. Raises UserError."""
    if b"\0" in data[:WINDOW]:
        guess = _guess(data)
        if guess is not None and guess.startswith("utf-16") and _fault(data, guess) is None and _is_text(data, guess):
            return guess
    fault = _fault(data, "utf-8")
    if fault is None:
        return "utf-8"
    line = data.rfind(b"\n", 0, fault) + 1
    shown = data[line if line > WINDOW // 2 else 0 :][:WINDOW]  # where the first letters stand that tell anything
    _refuse_damaged(shown, where, fault)
    guess = _guess(shown)
    if guess is None or not _is_text(shown, guess):
        raise UserError(where, "found no text encoding that fits", "check that it is a text file, or name its encoding")
    if guess.startswith(("cp125", "iso8859")):
        guess = next((name for name in ("cp932", "euc_jp") if _is_kana(shown, name)), guess)
        guess = "cp1252" if shown.decode(guess, "replace") == shown.decode("cp1252", "replace") else guess
    return "latin-1" if guess == "cp1252" and _fault(data, guess) is not None else guess


def _is_text(data: bytes, encoding: str) -> bool:
    """Whether what is decoded is written by people: nearly no control characters, and some space or comma.

    Any pairs of bytes are characters of UTF-16.
    """
    read = data[:WINDOW].decode(encoding, errors="ignore")
    controls = sum(char < " " and char not in "\t\n\r" for char in read)
    return 100 * controls <= len(read) and any(char in read for char in "\n ,;\t")


def _refuse_damaged(data: bytes, where: str, fault: int) -> None:
    """UTF-8 but for a few bytes is a damaged file: read as another encoding, all of it would be wrong."""
    read = data.decode("utf-8", errors="replace")
    faults = read.count("\ufffd")
    if sum(char > "\x7f" for char in read) - faults > SOUND_PER_FAULT * faults:
        raise UserError(where, f"is UTF-8 except at byte {fault}", "mend the file, or name its encoding")


def _guess(data: bytes) -> str | None:
    from chardet import detect  # 50 ms that UTF-8 files don't pay

    name = detect(data, prefer_superset=True)["encoding"]
    return codecs.lookup(name).name if name else None


def _is_kana(data: bytes, encoding: str) -> bool:
    """Whether the bytes read as Japanese: no other language's bytes give kana for half of their letters.

    The detector takes a single short sentence of kana for a Western text.
    """
    try:
        letters = [char for char in data.decode(encoding) if char > "\x7f" and char.isalpha()]
    except UnicodeDecodeError:
        return False
    return 2 * sum("\u3041" <= char <= "\u30ff" for char in letters) > len(letters) > 2
