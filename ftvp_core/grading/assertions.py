"""What a row itself asks of its answer, in promptfoo's kinds: one function a kind, registered by its name.

A kind that can't be run here, or a value that its kind can't take, leaves the row ungraded with the reason.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.grading.texts import normal
from ftvp_core.patterns import compiled
from ftvp_core.schemas import DECODER, Schema, parsed
from ftvp_core.types import ROW_THRESHOLD, Assertion, ExampleSet, Grade

#: promptfoo's own where none is given.
LEVENSHTEIN = 5.0

#: Whether the answer holds to the assertion. Raises UserError where its value is none for its kind.
Check = Callable[[str, Assertion], bool]
_KINDS: dict[str, Check] = {}


def kind(name: str) -> Callable[[Check], Check]:
    """Register a kind of assertion."""

    def register(check: Check) -> Check:
        _KINDS[name] = check
        return check

    return register


def grade(output: str, assertions: Sequence[Assertion]) -> Grade:
    """1 if all pass, or if as many do as the row's threshold asks; ungraded as soon as one can't be run."""
    least = next((one.threshold for one in assertions if one.name == ROW_THRESHOLD), None)
    try:
        passed = [_passes(output, one) for one in assertions if one.name != ROW_THRESHOLD]
    except UserError as error:
        return Grade(None, str(error))
    if not passed:
        return Grade(None, "no assertion beside the threshold")
    return Grade(float(all(passed) if least is None else sum(passed) / len(passed) >= least))


def unsupported_assertions(examples: ExampleSet) -> list[tuple[int, str]]:
    """Rows (from 1) that can't be graded by their own assertions, each with the assertion that can't be run."""
    found = []
    for number, example in enumerate(examples.examples, start=1):
        for one in example.assertions:
            try:
                one.name == ROW_THRESHOLD or _passes("", one)
            except UserError:
                found.append((number, shown(one)))
    return found


def shown(assertion: Assertion) -> str:
    """The assertion's kind, as promptfoo writes it."""
    return f"not-{assertion.name}" if assertion.negated else assertion.name


def _passes(output: str, assertion: Assertion) -> bool:
    check = _KINDS.get(assertion.name)
    if check is None:
        raise UserError(shown(assertion), "can't be run here", "only kinds that need no model, code or request are")
    try:
        return check(output, assertion) != assertion.negated
    except (RecursionError, OverflowError):  # brackets inside each other, numbers beyond all bounds
        raise UserError(shown(assertion), "the answer or the schema is too deep or too large") from None


def _text(assertion: Assertion) -> str:
    if not isinstance(assertion.value, str) or not normal(assertion.value):
        raise UserError(shown(assertion), f"found {assertion.value!r}; expected a text")
    return normal(assertion.value)


def _texts(assertion: Assertion) -> list[str]:
    values = assertion.value if isinstance(assertion.value, list) else [assertion.value]
    if not values or not all(isinstance(one, str) and normal(one) for one in values):
        raise UserError(shown(assertion), f"found {assertion.value!r}; expected texts")
    return [normal(one) for one in values]


@kind("equals")
def equals(output: str, assertion: Assertion) -> bool:
    """The same text after `normal`, or the same JSON where the value is a list or an object."""
    if isinstance(assertion.value, list | dict):
        return parsed(output) == (True, assertion.value)
    return normal(output) == ("" if assertion.value is None else _text(assertion))


@kind("contains")
def contains(output: str, assertion: Assertion) -> bool:
    return _text(assertion) in normal(output)


@kind("icontains")
def icontains(output: str, assertion: Assertion) -> bool:
    return _text(assertion).casefold() in normal(output).casefold()


@kind("contains-any")
def contains_any(output: str, assertion: Assertion) -> bool:
    return any(one in normal(output) for one in _texts(assertion))


@kind("contains-all")
def contains_all(output: str, assertion: Assertion) -> bool:
    return all(one in normal(output) for one in _texts(assertion))


@kind("icontains-any")
def icontains_any(output: str, assertion: Assertion) -> bool:
    return any(one.casefold() in normal(output).casefold() for one in _texts(assertion))


@kind("icontains-all")
def icontains_all(output: str, assertion: Assertion) -> bool:
    return all(one.casefold() in normal(output).casefold() for one in _texts(assertion))


@kind("starts-with")
def starts_with(output: str, assertion: Assertion) -> bool:
    return normal(output).startswith(_text(assertion))


@kind("ends-with")
def ends_with(output: str, assertion: Assertion) -> bool:
    return normal(output).endswith(_text(assertion))


@kind("regex")
def regex(output: str, assertion: Assertion) -> bool:
    """A match of RE2's pattern stands somewhere in the answer."""
    _text(assertion)
    return bool(compiled(assertion.value, shown(assertion)).search(output))


@kind("levenshtein")
def levenshtein(output: str, assertion: Assertion) -> bool:
    """At most `threshold` insertions, deletions and replacements away."""
    from rapidfuzz.distance import Levenshtein

    most = LEVENSHTEIN if assertion.threshold is None else assertion.threshold
    return Levenshtein.distance(normal(output), _text(assertion)) <= most


@kind("word-count")
def word_count(output: str, assertion: Assertion) -> bool:
    """So many words between white space: a number, or an object's `min` and `max`."""
    value = assertion.value
    bounds = (value.get("min", 0), value.get("max", float("inf"))) if isinstance(value, Mapping) else (value, value)
    try:
        least, most = map(float, bounds)
    except (TypeError, ValueError):
        raise UserError(shown(assertion), f"found {value!r}; expected a number, or min and max") from None
    return least <= len(output.split()) <= most


@kind("is-json")
def is_json(output: str, assertion: Assertion) -> bool:
    """The whole answer is JSON, and valid by the schema if there is one."""
    valid = _validator(assertion)
    whole, value = parsed(output)
    return whole and valid(value)


@kind("contains-json")
def contains_json(output: str, assertion: Assertion) -> bool:
    """A list or object of JSON stands somewhere in the answer, valid by the schema if there is one."""
    valid = _validator(assertion)
    return any(valid(value) for value in _json_inside(output))


_BRACKET = re.compile(r"[\[{]")


def _json_inside(output: str) -> Iterator[Any]:
    start = 0
    while found := _BRACKET.search(output, start):
        try:
            value, start = DECODER.raw_decode(output, found.start())
        except (ValueError, RecursionError):
            start = found.end()
        else:
            yield value


def _validator(assertion: Assertion) -> Callable[[Any], bool]:
    """What says whether a value is valid by the assertion's schema. Raises UserError for a schema that is none."""
    if assertion.value is None:
        return lambda _: True
    schema = Schema(assertion.value, shown(assertion))
    return lambda value: schema.violation(value) is None
