"""Personal data and keys in the rows. What was found is never shown, only its kind and row."""

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from ftvp_core.data.checks.common import Checked, Part, finding, rows_of, whose
from ftvp_core.types import Example, ExampleSet, Finding

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]+\.)+[^\W\d_]{2,}")
#: Addresses that are reserved for examples (RFC 2606).
_EXAMPLE_HOST = re.compile(r"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|test|invalid)$", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_SEVEN_DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}")
#: Keys of the OpenAI wire format, which many servers use; the library knows only one form of them.
_SK_KEY = re.compile(r"(?<![\w-])sk-[A-Za-z0-9_-]{20,}")
#: A number without separators may count anything.
_SEPARATED, _DECIMAL = re.compile(r"[\s()./-]"), re.compile(r"^\D*\d+\.\d+\D*$")
#: Characters of a row that are looked at: patterns of keys can take time that grows with their square.
MOST_CHARACTERS = 20_000
_LONG_WORD = re.compile(r"\S{16}|PRIVATE KEY")
#: Where a number without a country's code may be from, by the script beside it.
REGIONS, KOREAN, ARABIC = ("US", "GB", "DE"), ("KR",), ("SA", "EG", "AE")
#: Rows with enough digits for a telephone number that are looked at; the matcher takes about a millisecond each.
MOST_NUMBERS, SEED = 5_000, 0


def personal_data(checked: Checked) -> Iterator[Finding]:
    for part, examples in checked.parts():
        yield from _of(part, examples)


def _of(part: Part, examples: ExampleSet) -> Iterator[Finding]:
    found: dict[str, list[int]] = defaultdict(list)
    worded: dict[int, str] = {}  # the texts that may hold a key
    numbered: dict[int, str] = {}  # and those with digits enough for a card or a telephone
    for row, example in rows_of(examples):
        text = _text(example)
        if "@" in text and any(not _EXAMPLE_HOST.search(one) for one in _EMAIL.findall(text)):
            found["e-mail addresses"].append(row)
        if _LONG_WORD.search(text):
            worded[row] = text
        if _SEVEN_DIGITS.search(text):
            numbered[row] = text
    keys = _keys_in(worded.values())
    found["keys or passwords"] = [row for row, text in worded.items() if any(key.search(text) for key in keys)]
    found["payment cards"] = [row for row, text in numbered.items() if has_card(text)]
    looked = _sample(sorted(numbered.keys() - found["payment cards"]))
    found["telephone numbers"] = [row for row in looked if has_phone(numbered[row])]
    said = ", ".join(f"{kind} {len(rows):,}" for kind, rows in found.items() if rows)
    some = (
        f"; telephone numbers in a sample of {MOST_NUMBERS:,} of {len(numbered):,} rows with digits"
        if len(numbered) > MOST_NUMBERS
        else ""
    )
    yield from finding(
        "personal-data", "warning", (row for rows in found.values() for row in rows),
        f"{whose(part)} that seem to hold personal data or keys: {{n}} ({said}{some}). They go to every provider that is compared, and a tuned model can repeat them. Mask them, or drop the rows.",
        part,
    )  # fmt: skip


def has_card(text: str) -> bool:
    """A payment card's number: 13 to 19 digits with a right check digit, and an issuer's first ones."""
    from stdnum import luhn

    for one in _CARD.findall(text):
        digits = re.sub(r"\D", "", one)
        if digits[0] in "3456" and len(set(digits)) > 1 and luhn.is_valid(digits):
            return True
    return False


def has_phone(text: str) -> bool:
    """A valid number with its country's code, or one that is written as numbers are where the text is from."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    regions: Sequence[str] = REGIONS
    if re.search("[가-힣]", text):
        regions = KOREAN
    elif re.search("[\u0621-\u064a]", text):
        regions = ARABIC
    if any(True for _ in PhoneNumberMatcher(text, None, leniency=Leniency.VALID)):
        return True
    return any(
        _SEPARATED.search(match.raw_string) and not _DECIMAL.search(match.raw_string)
        for region in regions
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING)
    )


def _keys_in(texts: Iterable[str]) -> list[re.Pattern[str]]:
    """The patterns that match anywhere: mostly none. No key goes over a line's end, and labels are many rows' line."""
    lines = {line for text in texts for line in text.split("\n")}
    if not lines:
        return []
    all_lines = "\n".join(lines)
    return [pattern for pattern in _key_patterns() if pattern.search(all_lines)]


@cache
def _key_patterns() -> tuple[re.Pattern[str], ...]:
    """detect-secrets' patterns of keys that can be nothing else, each with its issuer's mark; and `_SK_KEY`."""
    from detect_secrets.plugins import (
        aws,
        basic_auth,
        github_token,
        gitlab_token,
        jwt,
        private_key,
        pypi_token,
        sendgrid,
        slack,
        stripe,
        telegram_token,
    )  # fmt: skip

    detectors = (
        aws.AWSKeyDetector, basic_auth.BasicAuthDetector, github_token.GitHubTokenDetector,
        gitlab_token.GitLabTokenDetector, jwt.JwtTokenDetector, private_key.PrivateKeyDetector,
        pypi_token.PypiTokenDetector, sendgrid.SendGridDetector, slack.SlackDetector, stripe.StripeDetector,
        telegram_token.TelegramBotTokenDetector,
    )  # fmt: skip
    return (_SK_KEY, *(pattern for detector in detectors for pattern in detector.denylist))


def _text(example: Example) -> str:
    parts = (example.system or "", *(turn.content for turn in example.history), example.input, *example.references)
    return "\n".join(parts)[:MOST_CHARACTERS]


def _sample(rows: Sequence[int]) -> Sequence[int]:
    return sorted(random.Random(SEED).sample(rows, MOST_NUMBERS)) if len(rows) > MOST_NUMBERS else rows
