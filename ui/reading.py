"""A draft's data as it is read and checked: once for each file and choice, not at each click."""

import json
from collections.abc import Sequence

import streamlit as st

from ftvp_core.draft_graders import Judged, judged
from ftvp_core.drafts import Keys, Part, Reading, findings, read_knowledge, read_part, suggested_schema
from ftvp_core.errors import UserError
from ftvp_core.types import Finding, Knowledge

#: Sets of a million rows are large: few are kept.
_KEPT = 4


def reading_of(keys: Keys, part: Part) -> Reading | None:
    """How the part's file is read. Raises UserError for the file."""
    return _reading(json.dumps({part: keys[part]}, sort_keys=True), part) if part in keys else None


def is_readable(keys: Keys, part: Part) -> bool:
    """Whether the part's file can be read, for those who don't say why not: its own tab does."""
    try:
        reading_of(keys, part)
    except UserError:
        return False
    return True


def knowledge_of(keys: Keys) -> Knowledge | None:
    """The draft's knowledge. Raises UserError for a file."""
    return _knowledge(json.dumps(keys["knowledge"], sort_keys=True)) if "knowledge" in keys else None


def findings_of(keys: Keys) -> Sequence[Finding]:
    """What the checks say of the draft's sets and its candidates' system prompts."""
    parts = {key: keys[key] for key in ("eval_set", "train_set", "candidates") if key in keys}
    return _findings(json.dumps(parts, sort_keys=True))


def suggested_schema_of(keys: Keys) -> Keys | None:
    """An output schema as the eval set's references have it. Raises UserError for the file."""
    return _suggested_schema(json.dumps({"eval_set": keys["eval_set"]}, sort_keys=True)) if "eval_set" in keys else None


def judged_of(keys: Keys) -> Judged | None:
    """What the graders have before them; None where the eval set can't be read."""
    if "eval_set" not in keys or not is_readable(keys, "eval_set"):
        return None
    return _judged(json.dumps({"eval_set": keys["eval_set"]}, sort_keys=True))


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _judged(keys: str) -> Judged | None:
    reading = reading_of(json.loads(keys), "eval_set")
    return judged(reading.examples) if reading and reading.examples else None


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _suggested_schema(keys: str) -> Keys | None:
    reading = reading_of(json.loads(keys), "eval_set")
    return suggested_schema(reading.examples) if reading and reading.examples else None


@st.cache_resource(show_spinner="Reading the file …", max_entries=_KEPT)
def _reading(keys: str, part: Part) -> Reading | None:
    return read_part(json.loads(keys), part)


@st.cache_resource(show_spinner="Reading the texts …", max_entries=_KEPT)
def _knowledge(keys: str) -> Knowledge | None:
    return read_knowledge({"knowledge": json.loads(keys)})


@st.cache_resource(show_spinner="Checking the rows …", max_entries=_KEPT)
def _findings(keys: str) -> Sequence[Finding]:
    return findings(json.loads(keys))
