"""A file's text to a Spec and back. What is wrong with it is said in one line, with the key's path."""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ftvp_core.errors import UserError
from ftvp_core.schemas import path_of
from ftvp_core.spec.comparison import Spec


def parse(text: str, where: str) -> Spec:
    """Read a comparison file's text. Raises UserError with `where`, the key's path and what to do."""
    try:
        loaded = _loaded(text)
        json.dumps(loaded, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # JSON and YAML can escape half a surrogate pair, which no file or server takes
        beside = error.object[max(0, error.start - 20) : error.start]
        raise UserError(where, f"found half a character (a lone surrogate) after {beside!r}", "mend it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}{at}", f"not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # a 13th month, a number of 5,000 digits, 5,000 brackets
        raise UserError(where, f"not YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise UserError(where, f"found {_kind(loaded)}; expected keys such as eval_set and candidates")
    try:
        return Spec.model_validate(loaded)
    except ValidationError as error:
        raise UserError(where, _one_line(error.errors(include_url=False), loaded)) from None


def load(path: Path) -> Spec:
    """Read a comparison file. Raises UserError."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise UserError(str(path), f"not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    except OSError as error:
        raise UserError(str(path), f"can't be read ({error.strerror})", "check the path") from None


def dump(spec: Spec) -> str:
    """The file's text again, defaults left out, in the contract's order; `parse` gives the same Spec."""
    text: str = yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), allow_unicode=True, sort_keys=False)
    return text


def _loaded(text: str) -> Any:
    """YAML. JSON is read as JSON: YAML's reader stops at its tabs and splits characters that it escapes in two."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError:
            pass
    return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return keys


class _Loader(yaml.SafeLoader):
    """YAML whose repeated keys are an error: the last one silently won otherwise."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below: no key of ours is a list
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _one_line(errors: Iterable[Mapping[str, Any]], loaded: Any) -> str:
    first, *more = errors
    path = path_of("", first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        allowed = _keys_beside(first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        message = "unknown key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(allowed)}")
    elif first["type"] == "missing":
        message = "missing; add it"
    elif first["type"] != "value_error":
        message = f"found {_short(first['input'])}; {message[:1].lower()}{message[1:]}"
    others = f" (and {len(more)} more)" if more else ""
    return f"{path}: {message}{others}" if path else f"{message}{others}"


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """The known keys at an unknown key's place."""
    schema: Any = Spec.model_json_schema()
    part: Any = schema
    for step in location[:-1]:
        part = (
            part.get("items", {})
            if isinstance(step, int)
            else part.get("properties", {}).get(step, part.get("additionalProperties") or {})
        )
        for choice in (part, *part.get("anyOf", ())):
            if "$ref" in choice:
                part = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]]
    return list(part.get("properties", {}))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) or value is None else _kind(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _kind(value: Any) -> str:
    return {dict: "keys", list: "a list", str: "text", type(None): "nothing"}.get(type(value), type(value).__name__)
