"""Which graders judge a draft's answers: chosen, with their options, and what suits the references."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from ftvp_core.data.checks import labels_of
from ftvp_core.drafts import Keys
from ftvp_core.errors import UserError
from ftvp_core.grading import chosen
from ftvp_core.schemas import parsed
from ftvp_core.spec import Spec
from ftvp_core.types import ExampleSet

#: What a comparison file without `graders` has.
DEFAULT: tuple[str | dict[str, Any], ...] = Spec.model_fields["graders"].default
#: Words of a reference up to which an answer can be expected to hold it to the letter.
SHORT_WORDS = 6


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The graders that suit the references, the best first, and why in a sentence or two."""

    fits: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What the graders have before them: `own` of the `rows` say themselves what they ask of an answer, and are judged
    by that alone."""

    rows: int
    own: int
    suggestion: Suggestion | None


def entries_of(keys: Keys) -> list[str | dict[str, Any]]:
    """The draft's graders as the file has them."""
    return list(keys.get("graders") or DEFAULT)


def put_grader(keys: Keys, name: str, options: Mapping[str, Any]) -> list[str | dict[str, Any]]:
    """The draft's graders with this one added, or in the place of that of its name. Raises UserError for its options."""
    entry: str | dict[str, Any] = {name: dict(options)} if options else name
    entries = entries_of(keys)
    names = [one.name for one, _ in chosen(entries)]
    if name in names:
        entries[names.index(name)] = entry
    else:
        entries.append(entry)
    chosen(entries)
    return entries


def without_grader(keys: Keys, name: str) -> list[str | dict[str, Any]]:
    """The draft's graders without this one. Raises UserError where it is the only one."""
    entries = entries_of(keys)
    left = [entry for entry, (one, _) in zip(entries, chosen(entries), strict=True) if one.name != name]
    if not left:
        raise UserError("graders", f"{name} is the only one", "choose another first: somebody has to judge")
    return left


def first_graders(keys: Keys, suggestion: Suggestion | None) -> list[str] | None:
    """What a draft begins with, where that isn't the file's default: nobody has chosen a grader or written a file yet."""
    if suggestion is None or keys.get("graders") or keys.get("candidates"):
        return None
    first = list(suggestion.fits[:1])
    return first if first and first != list(DEFAULT) else None


def judged(examples: ExampleSet) -> Judged:
    own = sum(bool(one.assertions) for one in examples.examples)
    return Judged(len(examples.examples), own, suggested_grader(examples))


def suggested_grader(examples: ExampleSet) -> Suggestion | None:
    """By what the references look like; None where there are none."""
    references = [reference for one in examples.examples if not one.assertions for reference in one.references]
    if not references:
        return None
    if all(is_json and isinstance(value, dict | list) for is_json, value in map(parsed, references)):
        return Suggestion(("json_match",), "The references are JSON: json_match compares them as values, not as texts.")
    labels = labels_of(examples)
    if labels is not None:
        return Suggestion(
            ("exact_match", "label"),
            f"The references are {len(labels):,} labels: exact_match wants the label alone. For models that write a"
            " sentence around it, label fits: it finds the one label that is named, whatever its case.",
        )
    if all(_is_number(one) for one in references):
        return Suggestion(
            ("numeric",),
            "The references are numbers: numeric compares the answer's last number, whatever stands around it.",
        )
    words = median(len(one.split()) for one in references)
    if words <= SHORT_WORDS:
        return Suggestion(
            ("contains",),
            f"The references are short texts ({words:g} words): contains finds them inside an answer. exact_match would"
            " want nothing else in it. An answer that says the same in other words is wrong to both.",
        )
    return Suggestion(
        (),
        f"The references are long texts ({words:g} words), which no model repeats to the letter: none of these graders"
        " judges what an answer means. Give the rows checks of their own (a column of assertions), or shorter"
        " references, which contains can find.",
    )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
