"""Retrieval on Compare: how well passages are found, apart from how well they are used, and what each prompt held."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ftvp_core.report.differences import Answered, as_sent, diagnosed, in_prompt, stored_passages, stored_rows
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import DIAGNOSES, Diagnosis, Example, Measured, Passage
from ui.words import clipped, plain

_LONG = 1200


def figures(store: Store, report: Report) -> None:
    """One row a candidate that retrieves: its figures over the examples that name gold, and the diagnoses' counts."""
    measured = [one for one in report.comparison.candidates if one.retrieval is not None]
    if not measured:
        return
    import pandas as pd

    st.header("Retrieval", anchor="retrieval")
    counts = _diagnosed(store, report, report.run.id, sum(one.n_scored for one in measured))
    rows: list[dict[str, Any]] = []
    for one in measured:
        assert one.retrieval is not None
        rows.append(
            {
                "candidate": one.name,
                "found, %": _percent(one.retrieval.hit_at_k),
                "recall, %": _percent(one.retrieval.recall_at_k),
                "MRR, %": _percent(one.retrieval.mrr),
                "nDCG, %": _percent(one.retrieval.ndcg),
                **{str(name): count for name, count in counts.get(one.name, {}).items()},
            }
        )
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(
        pd.DataFrame(rows),
        column_config=dict.fromkeys(("found, %", "recall, %", "MRR, %", "nDCG, %"), right),
        hide_index=True,
        height="content",
        alt="One row a candidate: how often a gold passage was in its prompt, and what became of the answer.",
    )
    st.caption(
        "Found: a gold passage is in the prompt. Not retrieved (and answered wrong) is for a better search to mend; "
        "retrieved, answered wrong for a better prompt or model; right without it needs no passage."
    )


def given(store: Store, report: Report, letter: str, name: str, example: Example, answered: Answered) -> None:
    """What one candidate's prompt held: its passages, the gold ones marked, and the prompt as it was sent."""
    run, candidate = report.run, report.spec.by_name(name)
    stored = _stored(store, run.knowledge) if run.knowledge and candidate.retrieval else {}
    rows = _rows(store, run.train_set) if run.train_set and answered.shots else {}
    passages = in_prompt(stored, example, answered)
    prompt = as_sent(report, name, example, answered, stored, rows)
    if not prompt:
        return
    parts = [f"{letter}: prompt"]
    if candidate.retrieval:
        parts.append(f"{len(passages)} passage{'' if len(passages) == 1 else 's'}")
    if answered.shots:
        parts.append(f"{len(answered.shots)} shot{'' if len(answered.shots) == 1 else 's'}")
    with st.expander(" · ".join([*parts, *([answered.diagnosis] if answered.diagnosis else [])])):
        for rank, (passage, gold) in enumerate(passages, start=1):
            st.markdown(f"**{rank}.** {plain(passage.id)}{' · :green-badge[gold]' if gold else ''}")
            st.text(clipped(passage.text, _LONG))
        if candidate.shots and candidate.shots.k and not answered.shots:
            st.caption(
                f"{candidate.shots.k} {candidate.shots.select} shots stood before the question; they weren't kept."
            )
        for message in prompt:
            st.caption(message.role)
            st.text(clipped(message.content, 4 * _LONG))


def chosen(label: str, side: Sequence[Answered], key: str) -> Diagnosis | None:
    """The diagnosis that the visitor looks at; None for all of them."""
    counts = {one: sum(answered.diagnosis == one for answered in side) for one in DIAGNOSES}
    found: Diagnosis | None = st.selectbox(
        label,
        [one for one in DIAGNOSES if counts[one]],
        index=None,
        format_func=lambda one: f"{one} ({counts[one]:,})",
        placeholder="all",
        key=key,
    )
    return found


def _percent(one: Measured) -> str:
    return f"{100 * one.value:.0f} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f})"


@st.cache_resource(show_spinner=False, max_entries=4)
def _stored(_store: Store, key: str) -> Mapping[str, Passage]:
    return stored_passages(_store, key)


@st.cache_resource(show_spinner=False, max_entries=4)
def _rows(_store: Store, key: str) -> Mapping[str, Example]:
    return stored_rows(_store, key)


@st.cache_resource(show_spinner=False, max_entries=8)
def _diagnosed(_store: Store, _report: Report, run_id: str, scored: int) -> Mapping[str, Mapping[Diagnosis, int]]:
    return diagnosed(_report, _store)
