"""A cleaned version of a set is saved as lines, and read back as it was."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ftvp_core.data.examples import recorded_csv, to_examples
from ftvp_core.data.formats.own import to_jsonl
from ftvp_core.data.rows import read_table
from ftvp_core.models.recorded import read_recorded
from ftvp_core.spec import EvalSetSpec
from ftvp_core.types import Assertion, Example, ExampleSet, Message

texts = st.text(max_size=20)
several = st.lists(texts, max_size=3).map(tuple)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
assertions = st.builds(Assertion, texts, values, st.none() | st.floats(allow_nan=False), st.booleans())
rows = st.builds(
    Example, st.text(min_size=1, max_size=20), texts, several, st.dictionaries(texts, texts, max_size=3),
    st.none() | texts, several, several, st.none() | texts, st.lists(messages, max_size=3).map(tuple),
    st.lists(assertions, max_size=3).map(tuple), st.none() | texts,
)  # fmt: skip


def read(folder: Path, content: str) -> ExampleSet:
    (folder / "e.jsonl").write_bytes(content.encode())
    return to_examples(read_table(folder / "e.jsonl"), EvalSetSpec(path="e.jsonl"))


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=4, unique_by=lambda one: one.id))
def test_what_is_written_is_read_back_equal(written: list[Example]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), to_jsonl(written))
    assert found.format == "ftvp"
    assert found.examples == tuple(written)


def test_the_columns_of_input_and_reference_keep_their_names(tmp_path: Path) -> None:
    written = [Example(str(at), f"q{at}", (f"a{at}",), {"n": "1", "text": f"q{at}", "label": f"a{at}"}) for at in "12"]
    mapping = read(tmp_path, to_jsonl(written)).mapping
    assert (mapping.input, mapping.reference) == ("text", "label")


def test_recorded_answers_can_be_replayed_as_a_candidate(tmp_path: Path) -> None:
    answers = ['a "quoted", line\nand more', None, "=1+1"]
    written = [Example(str(at), "q", (), {}, recorded=answer) for at, answer in enumerate(answers)]
    found = read(tmp_path, to_jsonl(written))
    content = recorded_csv(found)
    assert content is not None
    (tmp_path / "old.csv").write_bytes(content.encode())
    replayed = read_recorded(read_table(tmp_path / "old.csv"), found)
    assert {id_: answer.output for id_, answer in replayed._answers.items()} == {"0": answers[0], "2": answers[2]}
    assert recorded_csv(read(tmp_path, to_jsonl(written[1:2]))) is None
