"""The Data page's parts: upload, mapping, preview, findings."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from ftvp_core.drafts import Keys, Part, Reading, change, keep_upload, keep_uploads, read_part
from ftvp_core.store.store import Store
from ftvp_core.types import Finding

PREVIEW_ROWS = 8
ENCODINGS = ("utf-8", "cp949", "euc-kr", "latin-1", "cp1252", "utf-16", "cp932", "big5", "gb18030", "cp1256")
ICONS = {"error": st.error, "warning": st.warning, "info": st.info}


def examples_part(store: Store, draft_id: str, keys: Keys, part: Part) -> None:
    """Upload one set, show how it was read, let the mapping be changed."""
    uploaded = st.file_uploader(
        "CSV, TSV, JSON or JSONL, in any encoding", type=["csv", "tsv", "txt", "json", "jsonl"], key=f"upload-{part}"
    )
    if uploaded is not None:
        path = keep_upload(uploaded.name, uploaded.getvalue())
        if Path(keys.get(part, {}).get("path", "")) != path:
            change(store, draft_id, **{part: {"path": str(path)}})
            st.rerun()
    reading = read_part(keys, part)
    if reading is None:
        st.info("Nothing here yet: drop a file above.")
        return
    table = reading.table
    st.markdown(f"**{Path(table.path).name}**: {len(table.rows):,} rows, {table.format}, {table.encoding}")
    _mapping(store, draft_id, keys, part, reading)
    if reading.problem:
        st.error(reading.problem)
    preview = pd.DataFrame(list(table.rows[:PREVIEW_ROWS]), columns=list(table.columns)).astype(str)
    st.dataframe(preview, hide_index=True, alt=f"The first {len(preview)} rows of the file")


def _mapping(store: Store, draft_id: str, keys: Keys, part: Part, reading: Reading) -> None:
    """Which column is what. A choice that differs from the present one is saved at once."""
    columns = ["", *reading.table.columns]
    mapping = reading.examples.mapping if reading.examples else None
    asked = keys[part]
    boxes = st.columns(5 if part == "eval_set" else 4)
    chosen: dict[str, str | int] = {}
    for box, (key, label) in zip(
        boxes,
        {"input": "Input", "reference": "Reference", "id": "Id", "group": "Group (for errors)"}.items(),
        strict=False,
    ):
        now = asked.get(key) or (getattr(mapping, key) if mapping else None) or ""
        chosen[key] = box.selectbox(
            label, columns, columns.index(now) if now in columns else 0, key=f"{part}-{key}-{draft_id}"
        )
    encodings = ["", *dict.fromkeys((reading.table.encoding, *ENCODINGS))]
    given = asked.get("encoding", "")
    encoding = st.selectbox(
        "Encoding (empty: detected)",
        encodings,
        encodings.index(given) if given in encodings else 0,
        key=f"{part}-encoding-{draft_id}",
    )
    if part == "eval_set":
        limit = boxes[4].number_input(
            "Rows to use (0: all)", 0, len(reading.table.rows), asked.get("limit", 0), key=f"limit-{draft_id}"
        )
        chosen["limit"] = int(limit)
    shown = {key: (asked.get(key) or (getattr(mapping, key, None) if mapping else None) or "") for key in chosen}
    shown["limit"] = asked.get("limit", 0)
    if any(chosen[key] != shown[key] for key in chosen) or encoding != given:
        changed = {key: value for key, value in chosen.items() if value}
        change(
            store,
            draft_id,
            **{part: {"path": asked["path"], **changed, **({"encoding": encoding} if encoding else {})}},
        )
        st.rerun()


def knowledge_part(store: Store, draft_id: str, keys: Keys) -> None:
    """Upload the texts that retrieval searches."""
    uploaded = st.file_uploader(
        "Text, Markdown, CSV or JSONL; one file or several",
        type=["txt", "md", "csv", "tsv", "json", "jsonl"],
        accept_multiple_files=True,
        key="upload-knowledge",
    )
    if uploaded:
        path = keep_uploads({one.name: one.getvalue() for one in uploaded})
        if keys.get("knowledge", {}).get("path") != str(path):
            change(store, draft_id, knowledge={"path": str(path)})
            st.rerun()
    if "knowledge" not in keys:
        st.info("Nothing here yet. RAG candidates need it; the others don't.")
        return
    from ftvp_core.data.knowledge import read_knowledge
    from ftvp_core.spec import KnowledgeSpec

    knowledge = read_knowledge(Path(keys["knowledge"]["path"]), KnowledgeSpec(**keys["knowledge"]))
    st.markdown(f"**{knowledge.name}**: {len(knowledge.passages):,} passages")
    first = [(passage.source, passage.text) for passage in knowledge.passages[:PREVIEW_ROWS]]
    st.dataframe(pd.DataFrame(first, columns=["source", "text"]), hide_index=True, alt="The first passages")


def findings_list(found: Sequence[Finding]) -> None:
    for finding in found:
        rows = (
            f" Rows: {', '.join(map(str, finding.rows[:10]))}{' …' if len(finding.rows) > 10 else ''}."
            if finding.rows
            else ""
        )
        ICONS[finding.severity](f"{finding.message}{rows}")
