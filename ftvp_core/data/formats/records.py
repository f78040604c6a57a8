"""Records that evaluation tools keep: a question, what is expected, and often what a model answered.

What a model answered is recorded and never taken for the reference.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ftvp_core.data.formats.base import (
    NAMES,
    NO,
    SHAPE,
    TOOL,
    Format,
    as_json,
    example,
    held,
    misfit,
    mostly,
    numbered,
    passages,
    recorded_of,
    tags_of,
    texts,
)  # fmt: skip
from ftvp_core.data.formats.columns import named, one_of, recognise
from ftvp_core.data.formats.conversation import ROLES, is_turns, prompt_of, turns_of
from ftvp_core.data.rows import Row, Table, as_text
from ftvp_core.types import Assertion, Example, Mapped

#: Columns of passages: as text, what a prompt's context is.
PASSAGES = ("context", "contexts", "retrieval_context", "retrievalContext", "retrieved_contexts", "reference_contexts")


def _record(
    name: str,
    fits: Callable[[set[str]], int],
    input_: Sequence[str],
    reference: Sequence[str],
    recorded: Sequence[str],
) -> Format:
    """A tool whose records are columns: of each part's names the first that is there."""

    def mapped(table: Table) -> Mapped:
        return Mapped(
            named(table.columns, *input_) or "", named(table.columns, *reference), tags=named(table.columns, "tags")
        )

    def read(table: Table) -> Iterator[Example]:
        mapping, answer = mapped(table), named(table.columns, *recorded)
        for where, row in numbered(table):
            text, parts = asked(where, mapping.input, row.get(mapping.input))
            yield example(
                row,
                text,
                _expected(row.get(mapping.reference)) if mapping.reference else (),
                columns={mapping.input: text, **parts.pop("columns", {}), **_passages(row)},
                recorded=answered(row.get(answer)) if answer else None,
                **parts,
            )

    return Format(name, lambda table: fits(set(table.columns)), read, mapped)


def asked(where: str, key: str, value: Any) -> tuple[str, dict[str, Any]]:
    """A record's input: text, a conversation, or an object of which one text is asked."""
    found = held(value)
    for role, content in (("role", "content"), ("type", "content")):
        if is_turns(found, role) and (role == "role" or all(as_text(one[role]) in ROLES for one in found)):
            text, parts = prompt_of(turns_of(where, key, found, role, content))
            return text, {name: part for name, part in parts.items() if name != "recorded"}
    if isinstance(found, dict):
        if is_turns(found.get("messages")):
            return asked(where, f"{key}.messages", found["messages"])
        columns = {name: as_text(one) for name, one in found.items()}
        return one_of(columns), {"columns": columns}
    return (as_json(found) if isinstance(found, list) else as_text(found)), {}


def answered(value: Any) -> str | None:
    """A recorded answer: text, or an object's only text."""
    found = held(value)
    if isinstance(found, dict):
        spoken = [one for one in found.values() if isinstance(one, str)]
        return spoken[0] if len(spoken) == len(found) == 1 else as_json(found)
    return as_json(found) if isinstance(found, list) else recorded_of(value)


def _expected(value: Any) -> tuple[str, ...]:
    """References: text, a list of them, or an object's one of a reference's name."""
    found = held(value)
    if not isinstance(found, dict):
        return texts(found)
    name = recognise(["input", *found])[1] or (next(iter(found)) if len(found) == 1 else None)
    return texts(found[name]) if name else (as_json(found),)


def _passages(row: Row) -> dict[str, str]:
    found = {name: passages(row[name]) for name in PASSAGES if row.get(name) is not None}
    first = next(iter(found.values()), None)
    return found if first is None else {"context": first, **found}


def _ragas(columns: set[str]) -> int:
    if "user_input" in columns and columns & {"reference", "response", "retrieved_contexts", "reference_contexts"}:
        return TOOL
    if "question" in columns and columns & {"ground_truth", "ground_truths"}:
        return TOOL if columns & {"answer", "contexts"} else NO
    # An answer beside contexts alone is a model's here, and a reference elsewhere: the user has to say which.
    return NAMES if {"question", "answer", "contexts"} <= columns else NO


def _deepeval(columns: set[str]) -> int:
    own = {"actual_output", "retrieval_context", "actualOutput", "retrievalContext", "expected_tools", "tools_called"}
    golden = {"expected_output", "context"} <= columns
    return TOOL if "input" in columns and (columns & own or golden) else NO


def _langfuse(columns: set[str]) -> int:
    if "input" not in columns or columns & {"actual_output", "actualOutput"}:
        return NO
    return TOOL if "expectedOutput" in columns or {"expected_output", "metadata"} <= columns else NO


def _braintrust(columns: set[str]) -> int:
    own = columns & {"output", "metadata", "scores"}
    return TOOL if {"input", "expected"} <= columns and own else NO


def _azure(columns: set[str]) -> int:
    return TOOL if "query" in columns and columns & {"response", "ground_truth"} else NO


def _mlflow(table: Table) -> Iterator[Example]:
    for where, row in numbered(table):
        expected = held(row.get("expectations"))
        if not isinstance(held(row.get("inputs")), dict):
            raise misfit(where, "inputs", row.get("inputs"), "an object of named inputs")
        if not (expected is None or expected == "" or isinstance(expected, dict)):
            raise misfit(where, "expectations", expected, "an object such as {expected_response: …}")
        text, parts = asked(where, "inputs", row.get("inputs"))
        name = recognise(["input", *expected])[1] if expected else None
        references = texts(expected[name]) if expected and name else ()
        yield example(
            row,
            text,
            references,
            leave=("inputs", "expectations"),
            recorded=answered(row.get("outputs")),
            assertions=() if references else tuple(Assertion(key, one) for key, one in (expected or {}).items()),
            **parts,
        )


def _is_kiln(row: Row) -> bool:
    output = held(row.get("output"))
    return "input" in row and isinstance(output, dict) and "output" in output


def _kiln(table: Table) -> Iterator[Example]:
    """A repaired answer is the reference, and the answer that it repairs is recorded."""
    for where, row in numbered(table):
        if not _is_kiln(row):
            raise misfit(where, "output", row.get("output"), "an object with output, beside input")
        output, repaired = held(row["output"]), held(row.get("repaired_output"))
        mended = texts(repaired.get("output")) if isinstance(repaired, dict) else ()
        text, parts = asked(where, "input", row["input"])
        source = output.get("source")
        yield example(
            row,
            text,
            mended or texts(output["output"]),
            leave=("output", "repaired_output"),
            tags=(*tags_of(held(row.get("tags"))), *tags_of(source.get("type") if isinstance(source, dict) else None)),
            recorded=recorded_of(output["output"]) if mended else None,
            **parts,
        )


FORMATS = (
    Format("mlflow", lambda table: SHAPE if mostly(table, lambda row: isinstance(held(row.get("inputs")), dict)) else NO, _mlflow),
    Format("kiln", lambda table: SHAPE if mostly(table, _is_kiln) else NO, _kiln),
    _record("ragas", _ragas, ("user_input", "question"), ("reference", "ground_truth", "ground_truths"), ("response", "answer")),
    _record("deepeval", _deepeval, ("input",), ("expected_output", "expectedOutput"), ("actual_output", "actualOutput")),
    _record("langfuse", _langfuse, ("input",), ("expectedOutput", "expected_output"), ("output",)),
    _record("braintrust", _braintrust, ("input",), ("expected",), ("output",)),
    _record("azure", _azure, ("query",), ("ground_truth",), ("response",)),
)  # fmt: skip
