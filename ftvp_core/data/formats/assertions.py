"""promptfoo's assertions, as its CSV cells and its test files spell them.

Its CSV's grammar is `not-type(threshold):value`; what begins with no known type is `equals` of all of it.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ftvp_core.data.formats.base import misfit, typed
from ftvp_core.data.rows import as_text
from ftvp_core.types import ROW_THRESHOLD, Assertion

#: promptfoo's kinds. Those that no grader runs make their row ungraded; a word that isn't here is plain text.
KINDS = (
    "agent-rubric", "answer-relevance", "bleu", "character-count", "classifier", "contains", "contains-all",
    "contains-any", "contains-html", "contains-json", "contains-sql", "contains-xml", "context-faithfulness",
    "context-recall", "context-relevance", "conversation-relevance", "cost", "ends-with", "equals", "factuality",
    "finish-reason", "g-eval", "gleu", "guardrails", "human", "icontains", "icontains-all", "icontains-any", "is-html",
    "is-json", "is-refusal", "is-sql", "is-valid-function-call", "is-valid-openai-function-call",
    "is-valid-openai-tools-call", "is-xml", "javascript", "latency", "levenshtein", "llm-rubric", "max-score",
    "meteor", "model-graded-closedqa", "model-graded-factuality", "moderation", "perplexity", "perplexity-score", "pi",
    "python", "regex", "rouge-l", "rouge-n", "rouge-s", "ruby", "search-rubric", "select-best", "similar",
    "similar:cosine", "similar:dot", "similar:euclidean", "skill-used", "starts-with", "tool-call-f1",
    "trace-error-spans", "trace-span-count", "trace-span-duration", "webhook", "word-count",
)  # fmt: skip
#: Other names of a kind in CSV, never negated.
ALIASES = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}
#: A CSV cell's levenshtein without a threshold is held to this in promptfoo; a test file's to the grader's own.
CSV_LEVENSHTEIN = 0.75

_SPELLED = re.compile(
    rf"(not-)?({'|'.join(sorted(KINDS, key=len, reverse=True))})(?:\((\d+(?:\.\d+)?)\))?(?::(.*))?", re.DOTALL
)
_ALIAS = re.compile(rf"({'|'.join(ALIASES)}):(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LISTS = {"contains-all", "contains-any", "icontains-all", "icontains-any"}
_SCHEMAS = {"is-json", "contains-json"}


def from_text(text: str, configured: str | None, variables: Mapping[str, str]) -> Assertion:
    """A CSV cell's assertion, with the threshold that another column sets for it."""
    threshold = _number(configured)
    if text.startswith("file://"):
        return Assertion("file", text, threshold)
    if found := _ALIAS.fullmatch(text):
        return Assertion(ALIASES[found[1]], found[2].strip(), threshold)
    found = _SPELLED.fullmatch(text)
    if found is None:
        return _made("equals", text, threshold, False, variables)
    negated, name, spelled, rest = found.groups()
    if threshold is None:
        threshold = _number(spelled)
    if threshold is None and name == "levenshtein":
        threshold = CSV_LEVENSHTEIN
    return _made(name, (rest or "").strip(), threshold, bool(negated), variables)


def from_list(
    where: str, asserted: Sequence[Any], variables: Mapping[str, str], weighed: bool
) -> tuple[Assertion, ...]:
    """The assertions of a test's `assert`, its variables filled in. `weighed`: whether their mean counts."""
    found: list[Assertion] = []
    for at, one in enumerate(asserted):
        place = f"assert[{at}]"
        if not isinstance(one, dict):
            raise misfit(where, place, one, "an object with type and value")
        kind, weight = as_text(one.get("type")), _number(one.get("weight"))
        if kind == "assert-set" and one.get("threshold") is None and isinstance(one.get("assert"), list):
            found += from_list(where, one["assert"], variables, weighed)
        elif weight == 0:
            continue  # a figure only, in promptfoo too: it passes whatever the answer
        else:
            found.append(_asserted(where, place, one, variables, weighed and weight not in {None, 1.0}))
    return tuple(found)


def row_threshold(where: str, key: str, value: Any) -> tuple[Assertion, ...]:
    """The row's own threshold as an assertion about the others; none without one."""
    if value is None or as_text(value).strip() == "":
        return ()
    return (Assertion(ROW_THRESHOLD, threshold=number(where, key, value)),)


def number(where: str, key: str, value: Any) -> float:
    found = _number(value)
    if found is None:
        raise misfit(where, key, value, "a number")
    return found


def _asserted(where: str, place: str, one: Mapping[str, Any], variables: Mapping[str, str], weighed: bool) -> Assertion:
    kind = as_text(one.get("type"))
    negated, name = (True, kind.removeprefix("not-")) if kind.startswith("not-") else (False, kind)
    if not name:
        raise misfit(where, f"{place}.type", one.get("$ref"), "a type such as contains")
    threshold = None if one.get("threshold") is None else number(where, f"{place}.threshold", one["threshold"])
    more = "transform" if one.get("transform") else "weight" if weighed else ""
    return _made(name, one.get("value"), threshold, negated, variables, more)


def _made(
    name: str, given: Any, threshold: float | None, negated: bool, variables: Mapping[str, str], more: str = ""
) -> Assertion:
    """An assertion with the test's variables in its value. Its name says what of it no grader runs, if any."""
    left = _filled(given, dict.fromkeys(variables, ""))
    if not more:
        more = "a file" if _holds(left, "file://") else "a template" if _holds(left, "{{", "{%", "{#") else ""
    filled = _filled(given, variables)
    value = None if filled is None or filled == "" else _value(name, filled)
    return Assertion(f"{name} with {more}" if more else name, value, threshold, negated)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with the test's variables in it; what else a template holds stays, and isn't run."""
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    if isinstance(value, dict):
        return {key: _filled(one, variables) for key, one in value.items()}
    if isinstance(value, str) and "{{" in value:
        return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), value)
    return value


def _holds(value: Any, *marks: str) -> bool:
    if isinstance(value, dict | list):
        return any(_holds(one, *marks) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and any(mark in value for mark in marks)


def _value(name: str, value: Any) -> Any:
    """The value as its kind takes it: a list of texts, a schema, an object with its numbers, or text."""
    if name in _LISTS:
        return [as_text(one) for one in value] if isinstance(value, list) else _parts(as_text(value))
    if name in _SCHEMAS and isinstance(value, str):
        return _schema(value)
    if isinstance(value, str):
        return str(value)
    return typed(value)


def _schema(text: str) -> Any:
    """A JSON Schema's text is YAML (and so JSON), as promptfoo reads it; what is neither stays for the grader to name."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _parts(text: str) -> list[str]:
    """Values between commas; one in quotes may hold a comma."""
    return [part.strip() for part in next(csv.reader([text.replace("\n", " ")], skipinitialspace=True)) if part.strip()]


def _number(value: Any) -> float | None:
    try:
        found = float(as_text(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None
