"""An answer held against a JSON Schema. Nothing is fetched for a `$ref`, and patterns are RE2's: a file can neither
send requests nor hang a run.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.patterns import compiled

#: The most of a validator's words that is told: it repeats the value, which can be a whole book.
LONGEST_PROBLEM = 300
_TOO_DEEP = "it is too deep or too large to be checked"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


#: JSON alone: no NaN, no Infinity.
DECODER = json.JSONDecoder(parse_constant=_no_constant)


def parsed(text: str) -> tuple[bool, Any]:
    """Whether a text is JSON as a whole, and its value."""
    try:
        return True, DECODER.decode(text)
    except (ValueError, RecursionError):
        return False, None


def same(a: Any, b: Any) -> bool:
    """Equal as JSON values: the order of keys is no matter, 1 and 1.0 are one number, true is no number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


class Schema:
    """A JSON Schema that can be run."""

    def __init__(self, schema: Any, where: str) -> None:
        """Raises UserError, with the path of the key, for what is no JSON Schema or can't be run here."""
        import jsonschema
        import referencing

        if not isinstance(schema, dict | bool):
            raise UserError(where, f"found {str(schema)[:40]!r}; expected a JSON Schema")
        base = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        self.keys = schema
        self.text = json.dumps(schema, ensure_ascii=False)
        self._where = where
        self._unresolvable = referencing.exceptions.Unresolvable
        try:
            base.check_schema(schema)
            for path, part in subschemas(schema):
                _check_part(path_of(where, path), part)
            self._check_references(base, referencing)
        except jsonschema.SchemaError as error:
            said = f"not a JSON Schema: {_said(error)}"
            raise UserError(path_of(where, error.absolute_path), said) from None
        except RecursionError:
            raise UserError(where, "the schema is too deep") from None
        self._checker = jsonschema.validators.extend(base, {"pattern": _pattern})(
            schema, registry=referencing.Registry()
        )

    def violation(self, value: Any) -> str | None:
        """How a value breaks the schema, in one line; None where it doesn't. Raises UserError for a `$ref`."""
        try:
            error = next(self._checker.iter_errors(value), None)
        except self._unresolvable as unresolvable:
            ref = getattr(unresolvable, "ref", unresolvable)
            raise UserError(self._where, f"the schema names {ref!r}, which isn't in it") from None
        if error is None:
            return None
        at = path_of("", error.absolute_path)
        message = " ".join(error.message.split())[:LONGEST_PROBLEM]
        return f"at {at}: {message}" if at else message

    def problem(self, text: str) -> str | None:
        """Why a text is no valid answer, in one line; None where it is one."""
        try:
            value = DECODER.decode(text)
            return self.violation(value)
        except json.JSONDecodeError as error:
            return f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except ValueError as error:  # NaN, or a number of 5,000 digits
            return f"not JSON: {error}"[:LONGEST_PROBLEM]
        except (RecursionError, OverflowError):
            return _TOO_DEEP

    def _check_references(self, base: Any, referencing: Any) -> None:
        """Each `$ref` leads somewhere inside the schema."""
        if isinstance(self.keys, bool):
            return
        default = referencing.jsonschema.specification_with(base.META_SCHEMA["$schema"])
        resource = referencing.Resource.from_contents(self.keys, default_specification=default)
        resolver = referencing.Registry().with_resource(resource.id() or "", resource).resolver(resource.id() or "")
        for path, part in subschemas(self.keys):
            if not isinstance(part.get("$ref"), str):
                continue
            try:
                resolver.lookup(part["$ref"])
            except self._unresolvable:
                found = f"found {part['$ref']!r}, which isn't in the schema"
                raise UserError(path_of(self._where, [*path, "$ref"]), found, "write it into $defs") from None


def inferred(texts: Iterable[str]) -> dict[str, Any] | None:
    """A schema of these answers, objects closed; None unless each is a JSON object or list."""
    from genson import SchemaBuilder

    builder, any_there = SchemaBuilder(schema_uri=None), False
    for text in texts:
        _, value = parsed(text)
        if not isinstance(value, dict | list):
            return None
        builder.add_object(value)
        any_there = True
    if not any_there:
        return None
    schema: dict[str, Any] = builder.to_schema()
    for _, part in subschemas(schema):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


#: Where schemas stand inside a schema: under a name each, in a list, or alone.
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_ALONE = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip


def subschemas(schema: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Every schema inside a valid one with its path, itself first. What is data, such as `enum`, is none."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key in _NAMED:
        for name, part in (schema.get(key) or {}).items():
            yield from subschemas(part, (*path, key, name))
    for key in (*_LISTED, "items"):
        if isinstance(schema.get(key), list):
            for at, part in enumerate(schema[key]):
                yield from subschemas(part, (*path, key, at))
    for key in _ALONE:
        yield from subschemas(schema.get(key), (*path, key))


def path_of(where: str, path: Iterable[str | int]) -> str:
    """`where` with the keys after it: `output_schema.properties.age.type`."""
    out = where
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _said(error: Any) -> str:
    """What is wrong with a schema: of several forms that a key may have, the one that names what may stand there."""
    named = next((one for one in error.context or () if one.validator == "enum"), None)
    if named is not None:
        return f"found {named.instance!r}; expected one of {', '.join(map(str, named.validator_value))}"[
            :LONGEST_PROBLEM
        ]
    return " ".join(error.message.split())[:LONGEST_PROBLEM]


def _check_part(where: str, part: Mapping[str, Any]) -> None:
    """Raises UserError for what RE2 can't run."""
    if "patternProperties" in part:
        raise UserError(f"{where}.patternProperties", "isn't run here", "name the properties")
    if isinstance(part.get("pattern"), str):
        compiled(part["pattern"], f"{where}.pattern")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    if isinstance(instance, str) and not compiled(pattern, "pattern").search(instance):
        yield jsonschema.ValidationError(f"{instance!r} doesn't match {pattern!r}")
