"""Graders: an answer and its example in, a Grade out. One function a grader, registered by its name.

A grader never guesses: what it can't judge is ungraded, with the reason.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.grading import assertions
from ftvp_core.grading.texts import normal
from ftvp_core.patterns import compiled
from ftvp_core.schemas import parsed, same
from ftvp_core.types import Example, Grade


@dataclass(frozen=True, slots=True)
class Context:
    """What every grader is given. `labels`: all labels of the eval set, where its references are labels."""

    output: str
    example: Example
    labels: tuple[str, ...]
    options: Mapping[str, Any]


GraderFunction = Callable[[Context], Grade]


@dataclass(frozen=True, slots=True)
class Grader:
    """A registered grader. `options`: what it can be told, each with the type that a form asks for."""

    name: str
    function: GraderFunction
    version: int
    options: Mapping[str, type]

    @property
    def about(self) -> str:
        """What it finds right: the first paragraph of its docstring, in one line."""
        return " ".join((self.function.__doc__ or "").split("\n\n")[0].split())


_REGISTRY: dict[str, Grader] = {}


def grader(
    name: str, *, version: int = 1, options: Mapping[str, type] | None = None
) -> Callable[[GraderFunction], GraderFunction]:
    """Register a grader. Raise `version` whenever its judgement changes: grades name it.

    Its docstring's first paragraph is what the Candidates page says of it.
    """

    def register(function: GraderFunction) -> GraderFunction:
        _REGISTRY[name] = Grader(name, function, version, options or {})
        return function

    return register


def registered() -> Sequence[Grader]:
    """All graders, in the order in which they were registered."""
    return tuple(_REGISTRY.values())


@dataclass(frozen=True, slots=True)
class Graders:
    """The graders of a comparison; all must pass."""

    chosen: tuple[tuple[str, GraderFunction, Mapping[str, Any]], ...]
    labels: tuple[str, ...]

    def grade(self, output: str, example: Example) -> Grade:
        """The lowest of the graders' values; ungraded as soon as one of them can't judge.

        A row that says itself what it asks of an answer is graded by that alone.
        """
        if example.assertions:
            return assertions.grade(output, example.assertions)
        if not example.references:
            return Grade(None, "no reference")
        value = 1.0
        for name, function, options in self.chosen:
            one = function(Context(output, example, self.labels, options))
            if one.value is None:
                return Grade(None, f"{name}: {one.reason}")
            if not 0 <= one.value <= 1:  # nan, too: it is less than nothing and would pass
                return Grade(None, f"{name}: gave {one.value}, no number from 0 to 1")
            value = min(value, one.value)
        return Grade(value)


def build(entries: Sequence[str | Mapping[str, Any]], labels: tuple[str, ...]) -> Graders:
    """From the comparison file's `graders`: a name, or `{name: option}` / `{name: {option: …}}`. Raises UserError."""
    return Graders(tuple((one.name, one.function, options) for one, options in chosen(entries)), labels)


def chosen(entries: Sequence[str | Mapping[str, Any]]) -> list[tuple[Grader, Mapping[str, Any]]]:
    """The graders that the comparison file's `graders` name, each with its options. Raises UserError."""
    found = []
    for at, entry in enumerate(entries):
        where = f"graders[{at}]"
        if isinstance(entry, Mapping) and len(entry) != 1:
            raise UserError(where, f"found {len(entry)} keys; expected one grader's name")
        name, given = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        if name not in _REGISTRY:
            raise UserError(where, f"found {name!r}; expected one of {', '.join(sorted(_REGISTRY))}")
        one = _REGISTRY[name]
        found.append((one, _options(where, given, one.options)))
    return found


def describe(entries: Sequence[str | Mapping[str, Any]]) -> str:
    """The graders with their versions: `exact_match@1, regex@1`."""
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return ", ".join(f"{name}@{_REGISTRY[name].version}" for name in names)


def _options(where: str, given: Any, known: Mapping[str, type]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        if len(known) != 1:
            raise UserError(where, f"found {given!r}; expected no option")
        given = {next(iter(known)): given}
    unknown = set(given) - known.keys()
    if unknown:
        raise UserError(where, f"found option {min(unknown)!r}; expected {', '.join(sorted(known)) or 'none'}")
    if "pattern" in given:
        compiled(str(given["pattern"]), where)
    if "tolerance" in given and not (isinstance(given["tolerance"], int | float) and given["tolerance"] >= 0):
        raise UserError(f"{where}.tolerance", f"found {given['tolerance']!r}; expected a number from 0")
    return dict(given)


@grader("exact_match")
def exact_match(context: Context) -> Grade:
    """The answer is a reference, to the letter: only white space around it and Unicode's form don't matter."""
    output = normal(context.output)
    return Grade(float(any(output == normal(reference) for reference in context.example.references)))


@grader("contains")
def contains(context: Context) -> Grade:
    """A reference stands somewhere in the answer, to the letter: for short facts inside longer sentences."""
    output = normal(context.output)
    return Grade(float(any(normal(reference) in output for reference in context.example.references)))


@grader("regex", options={"pattern": str})
def regex(context: Context) -> Grade:
    """A match of the pattern stands somewhere in the answer; without a pattern, each reference is one.

    RE2's syntax: it takes linear time on every pattern, so that no file can hang a run.
    """
    given = context.options.get("pattern")
    patterns = context.example.references if given is None else (str(given),)
    try:
        return Grade(float(any(compiled(one, "pattern").search(context.output) for one in patterns)))
    except UserError as error:
        return Grade(None, str(error))


_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")


@grader("json_match")
def json_match(context: Context) -> Grade:
    """The answer is a reference as a JSON value: order of keys and white space don't matter. No JSON is wrong."""
    expected = [value for is_json, value in map(parsed, context.example.references) if is_json]
    if not expected:
        return Grade(None, "the reference isn't JSON")
    is_json, value = parsed(context.output)
    try:
        return Grade(float(is_json and any(same(value, one) for one in expected)))
    except RecursionError:
        return Grade(None, "the answer is too deep to be compared")


@grader("numeric", options={"tolerance": float})
def numeric(context: Context) -> Grade:
    """The answer's last number equals a reference's number, within the tolerance (absolute, 0 by default)."""
    expected = [number for text in context.example.references if (number := _last_number(text)) is not None]
    if not expected:
        return Grade(None, "the reference holds no number")
    found = _last_number(context.output)
    tolerance = Decimal(str(context.options.get("tolerance", 0)))
    return Grade(float(found is not None and any(abs(found - one) <= tolerance for one in expected)))


@grader("label")
def label(context: Context) -> Grade:
    """The one label that the answer names is a reference; an answer that names none or several is wrong.

    Case, white space, `_`, `-` and surrounding punctuation don't matter. A label inside a longer label
    that is named too doesn't count as named.
    """
    expected = {_label_key(reference) for reference in context.example.references}
    known = {_label_key(one) for one in context.labels} | expected
    said = _label_key(context.output)
    if said in known:
        return Grade(float(said in expected))
    named = {one for one in known if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", said)}
    longest = {one for one in named if not any(one != other and one in other for other in named)}
    return Grade(float(len(longest) == 1 and longest <= expected))


def _label_key(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\s_\-]+", " ", folded).strip(" \t\n.,;:!?\"'`*()[]{}<>").split())


def _last_number(text: str) -> Decimal | None:
    found = [match for match in _NUMBER.findall(text) if any(char.isdigit() for char in match)]
    try:
        number = Decimal(found[-1].replace(",", "").replace("−", "-")) if found else None
    except InvalidOperation:
        return None
    # A million digits are no answer, and no difference of theirs can be taken.
    return number if number is not None and abs(number.adjusted()) < 1000 else None
