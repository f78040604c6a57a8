"""The references: missing, a spreadsheet's error, of mixed form, cut short, or a refusal; and inputs that are missing."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from statistics import median

from ftvp_core.data.checks.common import Checked, Part, finding, rows_of, whose
from ftvp_core.data.near import form
from ftvp_core.data.sheet_errors import ERRORS
from ftvp_core.schemas import parsed
from ftvp_core.types import ExampleSet, Finding

#: Fewer answers than this have no custom that one could break.
LEAST_ANSWERS = 20
#: An answer is cut where so many others end a sentence, or close their brackets, and it doesn't.
CUSTOM = 0.9
#: An outlier's length is this many robust standard deviations (of its logarithm) and this factor off the median.
OUTLIER_DEVIATIONS, OUTLIER_FACTOR = 5.0, 5.0

#: How a model says no, at the beginning of its answer: English, Korean, German, Arabic.
REFUSAL = re.compile(
    r"""^\W*(?:
      (?:i['’]?\s?a?m\s+(?:very\s+|so\s+)?sorry|sorry|i\s+apologi[sz]e|unfortunately)\b.{0,60}?\b(?:can['’]?t|can\s?not|unable|not\s+able|won['’]?t)\b
    | as\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)\b
    | i\s+(?:can['’]?t|can\s?not|am\s+(?:unable|not\s+able)\s+to|won['’]?t)\s+(?:\w+\s+)?(?:help|assist|provide|fulfil|comply|answer|do\s+that|support|share|generate|create)
    | i['’]m\s+(?:unable|not\s+able)\s+to\b
    | (?:죄송|미안)\S*\s.{0,60}?(?:수\s*없|못\s*하|못합|어렵|불가)
    | (?:저는\s+)?(?:ai|인공지능|언어\s*모델)\s*(?:언어\s*)?(?:모델|비서|어시스턴트)?(?:로서|으로서|이기|이므로|이라서)
    | (?:es\s+)?tut\s+mir\s+(?:sehr\s+)?leid\b.{0,60}?\b(?:kann|nicht|darf)\b
    | (?:entschuldigung|leider)\b.{0,60}?\bkann\s+ich\b.{0,60}?\bnicht\b
    | als\s+(?:eine?\s+)?(?:ki|ai|künstliche\s+intelligenz|sprachmodell)\b
    | (?:عذر|آسف|أعتذر|اعتذر|نأسف).{0,60}?(?:لا\s+أستطيع|لا\s+يمكن|لست\s+قادر|غير\s+قادر|لا\s+أقدر)
    | (?:بصفتي|باعتباري|كوني|ك)\s*(?:نموذج|ذكاء|مساعد)
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
#: A last line of fewer words (or characters, where words aren't spaced) may be a name or an entry.
SENTENCE_UNITS = 6
_LISTED = re.compile(r"(?:[-*•|>]|\w{1,3}[.)])\s*\S")
_NO_END = frozenset(",،、，:：;；-–—_/&")


def empty_reference(checked: Checked) -> Iterator[Finding]:
    harm = {"eval": "They can't be graded", "train": "They teach nothing"}
    for part, examples in checked.parts():
        rows = [row for row, one in rows_of(examples) if row not in checked.answers[part] and not one.assertions]
        yield from finding(
            "empty-reference", "warning", rows,
            f"{whose(part)} without a reference: {{n}}. {harm[part]}. Fill them in or drop them.", part,
        )  # fmt: skip


def empty_input(checked: Checked) -> Iterator[Finding]:
    """Where others ask something: a format may have no input at all, and its prompts name other columns."""
    for part, examples in checked.parts():
        rows = [row for row, one in rows_of(examples) if not one.input.strip() and not one.history]
        if len(rows) < len(examples.examples) / 2:
            yield from finding(
                "empty-input", "warning", rows,
                f"{whose(part)} that ask nothing: {{n}}, where the others have an input. Fill them in or drop them.", part,
            )  # fmt: skip


def error_cell(checked: Checked) -> Iterator[Finding]:
    """Of workbooks, and of what was exported from one."""
    for part, examples in checked.parts():
        held = {
            row: shown
            for row, one in rows_of(examples)
            if (shown := next((text for text in (one.input, *one.references) if text.strip() in ERRORS), None))
        }
        yield from finding(
            "error-cell", "warning", held,
            f"{whose(part)} whose input or reference is a spreadsheet's error ({', '.join(sorted({one.strip() for one in held.values()}))}): {{n}}. It would be taken for text. Mend the formulas in the sheet, or drop the rows.",
            part,
        )  # fmt: skip


def format_mixed(checked: Checked) -> Iterator[Finding]:
    for part, examples in checked.parts():
        kinds = {
            "white space around them": spaced(examples),
            "plain text or broken JSON beside JSON": _beside_json(checked.answers[part]),
            "a length far from the others'": _outliers(_free_text(checked, part)),
        }
        said = ", ".join(f"{kind} {len(rows):,}" for kind, rows in kinds.items() if rows)
        harm = "graders and models take the form for part of the answer" if part == "eval" else "a model learns the mix"
        yield from finding(
            "format-mixed", "warning", (row for rows in kinds.values() for row in rows),
            f"{whose(part)} whose references are written otherwise than the others: {{n}} ({said}); {harm}. Write all of them one way.",
            part,
        )  # fmt: skip


def spaced(examples: ExampleSet) -> list[int]:
    """Rows with a reference that begins or ends with white space."""
    return [row for row, one in rows_of(examples) if any(text != text.strip() != "" for text in one.references)]


def answer_cut(checked: Checked) -> Iterator[Finding]:
    for part, _ in checked.parts():
        yield from finding(
            "answer-cut", "warning", cut(_free_text(checked, part)),
            f"{whose(part)} whose reference seems cut short: {{n}} (no sentence's end where nearly all others have one, or a bracket that isn't closed). Complete them or drop them.",
            part,
        )  # fmt: skip


def cut(answers: Mapping[int, str]) -> list[int]:
    """Rows of free text that break off where nearly all others don't."""
    sentences = {row: text for row, text in answers.items() if _is_sentence(text)}
    return sorted(_breaking(sentences, _is_ended) | _breaking(answers, _is_closed))


def refusal(checked: Checked) -> Iterator[Finding]:
    harm = {"eval": "a right answer would be counted as wrong", "train": "a model learns to refuse"}
    for part, _ in checked.parts():
        rows = [row for row, text in _free_text(checked, part).items() if REFUSAL.match(text[:300])]
        yield from finding(
            "refusal", "warning", rows,
            f"{whose(part)} whose reference is a refusal (“I'm sorry, I can't …”, “As an AI …”): {{n}}; unless that is wanted, {harm[part]}. Answer them or drop them.",
            part,
        )  # fmt: skip


def _free_text(checked: Checked, part: Part) -> Mapping[int, str]:
    """The answers; none where they are labels."""
    answers = checked.answers[part]
    return {} if len(answers) >= LEAST_ANSWERS and checked.labels[part] else answers


def _breaking(answers: Mapping[int, str], holds: Callable[[str], bool]) -> set[int]:
    broken = {row for row, text in answers.items() if not holds(text)}
    if len(answers) < LEAST_ANSWERS or len(broken) > (1 - CUSTOM) * len(answers):
        return set()
    return broken


def _is_sentence(text: str) -> bool:
    """Whether the last line is long enough for one, and no list's, tag's or address's; or plainly goes on."""
    line = _last_line(text)
    if line[-1] in _NO_END:
        return True
    words = len(form(line).partition("\0")[2].split(" "))
    last_word = line.split()[-1]
    return words >= SENTENCE_UNITS and not _LISTED.match(line) and "/" not in last_word and last_word[0] not in "#@"


def _is_ended(text: str) -> bool:
    last = _last_line(text)[-1]
    return not last.isalpha() and last not in _NO_END


def _last_line(text: str) -> str:
    return text.rstrip().rsplit("\n", 1)[-1].strip()


def _is_closed(text: str) -> bool:
    """Curly and square brackets, as code and JSON have them: round ones also make faces."""
    return (
        all(text.count(opened) <= text.count(closed) for opened, closed in ("{}", "[]")) and text.count("```") % 2 == 0
    )


def _beside_json(answers: Mapping[int, str]) -> list[int]:
    """The rows of the fewer, where some references are JSON objects or lists and some aren't."""
    kinds: dict[bool, list[int]] = {True: [], False: []}
    for row, text in answers.items():
        kinds[_is_json(text)].append(row)
    return min(kinds.values(), key=len)


def _is_json(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    return text.lstrip()[:1] in {"{", "["} and parsed(text)[0]


def _outliers(answers: Mapping[int, str]) -> list[int]:
    lengths = {row: math.log(len(text)) for row, text in answers.items()}
    if len(lengths) < LEAST_ANSWERS:
        return []
    middle = median(lengths.values())
    deviation = 1.4826 * median(abs(length - middle) for length in lengths.values())
    room = max(OUTLIER_DEVIATIONS * deviation, math.log(OUTLIER_FACTOR))
    return [row for row, length in lengths.items() if abs(length - middle) > room]
