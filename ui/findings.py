"""What the checks found: the gravest first, each with rows to look at and, where one is safe, a button that mends it."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.editions import keep_mended, mendable
from ftvp_core.store.store import Store
from ftvp_core.types import ExampleSet, Finding
from ui.reading import findings_of, is_readable, reading_of
from ui.words import plain

SHOWN_ROWS = 200
_COLOURS = {"error": "red", "warning": "orange", "info": "gray"}
_HELP = "Keeps a cleaned version; the file stays, and Undo goes back to it"


def findings_list(store: Store, draft_id: str, keys: Keys) -> None:
    if not (is_readable(keys, "eval_set") and is_readable(keys, "train_set")):
        st.text("Nothing is checked while a file can't be read: its own tab says why.")
        return
    read = {"eval": reading_of(keys, "eval_set"), "train": reading_of(keys, "train_set")}
    sets = {part: reading.examples if reading else None for part, reading in read.items()}
    for finding in findings_of(keys):
        with st.container(border=True, gap="small"):
            said, mend = st.columns([9, 1], vertical_alignment="center")
            said.markdown(f":{_COLOURS[finding.severity]}-badge[{finding.severity}] {plain(finding.message)}")
            if mendable(finding) and mend.button("Mend", key=f"mend-{finding.id}", help=_HELP, width="stretch"):
                keep_mended(store, draft_id, finding.id)
                st.rerun()
            if finding.rows:
                with st.expander(f"Rows ({len(finding.rows):,})"):
                    _rows(finding, sets)


def _rows(finding: Finding, sets: Mapping[str, ExampleSet | None]) -> None:
    """The rows by number; beside each the row that it repeats, if that is what was found."""
    own = sets.get(finding.part)
    if own is None:
        return
    # A leak's partner is a training row; any other finding's stands in the same set.
    others = sets.get("train") if finding.id.startswith("leak-") else own
    partners = dict(finding.pairs)
    shown = finding.rows[:SHOWN_ROWS]
    cells: dict[str, Sequence[object]] = {
        "row": shown,
        "input": [own.examples[row - 1].input for row in shown],
        "reference": [" | ".join(own.examples[row - 1].references) for row in shown],
    }
    if partners and others is not None:
        cells["repeats row"] = [partners.get(row) for row in shown]
        cells["which says"] = [others.examples[partners[row] - 1].input if row in partners else "" for row in shown]
    st.dataframe(pd.DataFrame(cells), hide_index=True, alt=f"Rows of finding {finding.id}")
    if len(finding.rows) > SHOWN_ROWS:
        st.caption(
            f"The first {SHOWN_ROWS} of {len(finding.rows):,}. `python -m ftvp_core check … --json F` lists all."
        )
