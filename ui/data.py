"""The Data page's parts: upload, how a file was read, what it holds beside its rows, a training set split off."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from ftvp_core.drafts import Keys, Part, Reading, change, keep_upload, keep_uploads, read_as, without_folders
from ftvp_core.editions import RECORDED, add_recorded, go_back, keep_split, note_of
from ftvp_core.errors import UserError
from ftvp_core.store.store import Store
from ftvp_core.types import Example
from ui.reading import is_readable, knowledge_of, reading_of
from ui.words import plain

PREVIEW_ROWS = 8
COMPARED_ROWS = 3
TABLES = ["csv", "tsv", "txt", "json", "jsonl", "ndjson", "yaml", "yml", "xlsx", "xls", "parquet"]
TEXTS = ["txt", "md", "html", "htm", "pdf", "docx", *(one for one in TABLES if one not in {"txt", "yaml", "yml"})]
ENCODINGS = (
    "utf-8", "utf-16", "cp949", "euc-kr", "cp932", "euc-jp", "big5", "gb18030", "latin-1", "cp1252", "cp1256",
)  # fmt: skip
COLUMNS = {
    "input": "Input",
    "reference": "Reference",
    "id": "Id",
    "group": "Group (for errors)",
    "gold": "Gold passage",
}


def examples_part(store: Store, draft_id: str, keys: Keys, part: Part) -> None:
    """Upload one set; show how it was read and what was understood; let any of it be changed."""
    uploaded = st.file_uploader(
        "A table, chats or tests in any common format: CSV, JSON, JSONL, YAML, XLSX, Parquet",
        type=TABLES,
        key=f"upload-{part}-{draft_id}",
    )
    if uploaded is not None and _is_new(uploaded.file_id, part):
        path = keep_upload(uploaded.name, uploaded.getvalue())
        change(store, draft_id, **{part: {"path": str(path)}})
        st.rerun()
    reading = reading_of(keys, part)
    if reading is None:
        st.info("Nothing here yet: drop a file above.")
        return
    if part == "forgetting_set" and st.button("Remove it", key=f"remove-{part}"):
        change(store, draft_id, forgetting_set=None)
        st.rerun()
    _as_read(store, draft_id, keys, part, reading)
    _choices(store, draft_id, keys, part, reading)
    if reading.examples is None:
        st.error(plain(without_folders(reading.problem or "")))
        _several_readings(store, draft_id, keys, part, reading)
        preview = pd.DataFrame(list(reading.table.rows[:PREVIEW_ROWS]), columns=list(reading.table.columns)).astype(str)
        st.dataframe(preview, hide_index=True, alt=f"The first {len(preview)} rows of the file")
        return
    _table(reading.examples.examples[:PREVIEW_ROWS], "What was understood of the first rows")
    if part == "eval_set":
        _offers(store, draft_id, keys, reading)


def split_off(store: Store, draft_id: str, keys: Keys) -> None:
    """A training set from the eval set's own rows, where there is no file for one."""
    evaluated = reading_of(keys, "eval_set") if is_readable(keys, "eval_set") else None
    if "train_set" in keys or evaluated is None or evaluated.examples is None:
        return
    with st.container(border=True):
        st.markdown("**Or split it off the eval set**")
        st.caption("Stratified by label. Rows of one group, and rows that nearly repeat each other, stay on one side.")
        left, middle, right = st.columns([3, 1, 1], vertical_alignment="bottom")
        share = left.slider("Rows to train on, %", 10, 90, 50, key=f"split-share-{draft_id}")
        seed = middle.number_input("Seed", 0, 2**31, 0, key=f"split-seed-{draft_id}")
        if right.button("Split", help="The uploaded file stays; one click goes back to it"):
            keep_split(store, draft_id, share / 100, int(seed))
            st.rerun()


def knowledge_part(store: Store, draft_id: str, keys: Keys) -> None:
    """Upload the texts that retrieval searches."""
    uploaded = st.file_uploader(
        "Text, Markdown, HTML, PDF, Word or tables; one file or several",
        type=TEXTS,
        accept_multiple_files=True,
        key=f"upload-knowledge-{draft_id}",
    )
    if uploaded and _is_new(" ".join(one.file_id for one in uploaded), "knowledge"):
        path = keep_uploads({one.name: one.getvalue() for one in uploaded})
        change(store, draft_id, knowledge={"path": str(path)})
        st.rerun()
    knowledge = knowledge_of(keys)
    if knowledge is None:
        st.info("Nothing here yet. RAG candidates need it; the others don't.")
        return
    st.markdown(f"**{plain(knowledge.name)}**: {len(knowledge.passages):,} passages")
    if knowledge.empty:
        st.warning(
            f"No text was found in {plain(', '.join(knowledge.empty))}: it isn't searched. Scanned pages need their"
            " text recognised first."
        )
    first = [(passage.source, passage.text) for passage in knowledge.passages[:PREVIEW_ROWS]]
    st.dataframe(pd.DataFrame(first, columns=["source", "text"]), hide_index=True, alt="The first passages")


def _is_new(file_id: str, part: str) -> bool:
    """Whether this upload hasn't been taken yet: a mended version isn't replaced by the file it was made from."""
    taken = f"taken-{part}"
    if st.session_state.get(taken) == file_id:
        return False
    st.session_state[taken] = file_id
    return True


def _as_read(store: Store, draft_id: str, keys: Keys, part: Part, reading: Reading) -> None:
    """One line: the file, its rows, its format and encoding; and what it was made from, with the way back."""
    table = reading.table
    rows = len(reading.examples.examples) if reading.examples else len(table.rows)
    format_ = reading.examples.format if reading.examples else table.format
    sheet = f", sheet {table.sheet}" if table.sheet else ""
    encoding = f", {table.encoding}" if table.encoding != "binary" else ""
    st.markdown(f"**{plain(Path(table.path).name)}**: {rows:,} rows, {plain(f'{format_}{encoding}{sheet}')}")
    note = note_of(keys, part)
    if note is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(note.said, width="stretch")
            if st.button("Undo", key=f"undo-{part}", help="Use again the file that this was made from"):
                go_back(store, draft_id, part)
                st.rerun()


def _choices(store: Store, draft_id: str, keys: Keys, part: Part, reading: Reading) -> None:
    """How it was read, each changeable: what isn't chosen stays as recognised. A change is saved at once."""
    asked, mapping = keys[part], reading.examples.mapping if reading.examples else None
    columns = {key: label for key, label in COLUMNS.items() if key != "gold" or part != "train_set"}
    # What was chosen is the draft's, whoever changed it: a widget that remembers another choice would undo that.
    place = f"{part}-{draft_id}-{json.dumps(asked, sort_keys=True)}"
    chosen: Keys = {}
    with st.expander("Change how it is read", expanded=reading.examples is None):
        boxes = st.columns(len(columns))
        for box, (key, label) in zip(boxes, columns.items(), strict=True):
            found = getattr(mapping, key) if mapping else None
            chosen[key] = _choice(box, label, reading.table.columns, asked.get(key), found or "none", f"{key}-{place}")
        left, middle, right = st.columns(3)
        found = reading.examples.format if reading.examples else "none"
        chosen["format"] = _choice(left, "Format", reading.formats, asked.get("format"), found, f"format-{place}")
        chosen["encoding"] = _choice(
            middle, "Encoding", ENCODINGS, asked.get("encoding"), reading.table.encoding, f"encoding-{place}"
        )
        limit = right.number_input(
            "Rows to use (0: all)", 0, max(len(reading.table.rows), asked.get("limit", 0)), asked.get("limit", 0),
            key=f"limit-{place}", help="A seeded sample of so many",
        )  # fmt: skip
        chosen["limit"] = int(limit) or None
    new = {key: value for key, value in {**asked, **chosen}.items() if value is not None}
    if new != asked:
        change(store, draft_id, **{part: new})
        st.rerun()


def _choice(
    box: Any, label: str, options: Sequence[str], asked: str | None, recognised: str, key: str
) -> str | None:  # fmt: skip
    """One of the options, or None for what was recognised, which is said."""
    every = [None, *dict.fromkeys([*options, *([asked] if asked else [])])]
    said: Callable[[str | None], str] = lambda one: one if one is not None else f"as recognised: {recognised}"  # noqa: E731
    chosen: str | None = box.selectbox(label, every, every.index(asked), format_func=said, key=key)
    return chosen


def _several_readings(store: Store, draft_id: str, keys: Keys, part: Part, reading: Reading) -> None:
    """Where a file fits several formats: what each makes of its first rows, and a button to take it."""
    if len(reading.formats) < 2:
        return
    for column, name in zip(st.columns(len(reading.formats), border=True), reading.formats, strict=True):
        with column:
            st.markdown(f"Read as **{plain(name)}**")
            try:
                _table(read_as(keys, part, reading.table, name, COMPARED_ROWS), f"The first rows read as {name}")
            except UserError as error:
                st.caption(plain(without_folders(str(error))))
            if st.button(f"Read it as {plain(name)}", key=f"{part}-read-as-{name}"):
                change(store, draft_id, **{part: {**keys[part], "format": name}})
                st.rerun()


def _table(examples: Sequence[Example], alt: str) -> None:
    """Examples as they were understood; a column only where a row has something in it."""
    parts: dict[str, Callable[[Example], str]] = {
        "system prompt": lambda one: one.system or "",
        "turns before": lambda one: "\n".join(f"{turn.role}: {turn.content}" for turn in one.history),
        "input": lambda one: one.input,
        "reference": lambda one: " | ".join(one.references),
        "own checks": lambda one: ", ".join(
            f"{'not-' if each.negated else ''}{each.name} {each.value or ''}".strip() for each in one.assertions
        ),
        "recorded answer": lambda one: one.recorded or "",
        "group": lambda one: one.group or "",
        "tags": lambda one: ", ".join(one.tags),
        "gold": lambda one: ", ".join(one.gold),
    }
    shown = {name: [get(one) for one in examples] for name, get in parts.items()}
    kept = {name: cells for name, cells in shown.items() if any(cells) or name in {"input", "reference"}}
    st.dataframe(pd.DataFrame(kept), hide_index=True, alt=alt)


def _offers(store: Store, draft_id: str, keys: Keys, reading: Reading) -> None:
    """What the file holds beside questions: recorded answers, passages."""
    assert reading.examples is not None
    recorded = sum(one.recorded is not None for one in reading.examples.examples)
    names = [one["name"] for one in keys.get("candidates", ())]
    if recorded and RECORDED not in names:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.text(
                f"The file holds {recorded:,} recorded answers. They are not taken for references.", width="stretch"
            )
            if st.button("Compare them as a candidate"):
                add_recorded(store, draft_id)
                st.rerun()
    if reading.examples.format == "squad" and "knowledge" not in keys:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.text("The file holds the passages that its questions are about.", width="stretch")
            if st.button("Use them as knowledge"):
                change(store, draft_id, knowledge={"path": keys["eval_set"]["path"]})
                st.rerun()
