"""An output schema on OpenAI's wire: how it is asked for, and how a server says that it takes none."""

from collections.abc import Mapping
from typing import Any

from ftvp_core.schemas import subschemas

#: How a server says that it takes no `response_format`, or not this schema: with one of these and one of the words.
SCHEMA_STATUSES = {400, 415, 422, 501}
SCHEMA_WORDS = ("response_format", "json_schema", "schema", "structured", "guided", "grammar")
#: What OpenAI enforces strictly ("Structured Outputs", supported schemas): any other key makes it refuse.
STRICT_KEYS = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
    "title", "description", "pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minItems", "maxItems",
}  # fmt: skip


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"name": "answer", "schema": schema, **({"strict": True} if is_strict(schema) else {})}
    return {"type": "json_schema", "json_schema": asked}


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI would enforce a schema strictly: each object closed, with all its properties required."""
    objects = [part for _, part in subschemas(schema) if part.get("type") == "object" or "properties" in part]
    return (
        schema.get("type") == "object"
        and "anyOf" not in schema
        and all(part.keys() <= STRICT_KEYS for _, part in subschemas(schema))
        and all(one.get("additionalProperties") is False for one in objects)
        and all(set(one.get("required", ())) == set(one.get("properties", ())) for one in objects)
    )


def refuses_schema(status: int, text: str) -> bool:
    """Whether an error's status and body are about the schema that was sent."""
    return status in SCHEMA_STATUSES and any(word in text.casefold() for word in SCHEMA_WORDS)
