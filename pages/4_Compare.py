"""Compare: the answer first, the evidence below. `?run=ID` opens one run; without it, the runs are listed."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import streamlit as st

from ftvp_core.report.load import Report
from ftvp_core.report.relations import baseline
from ftvp_core.report.write import candidate_rows, csv_text, example_rows
from ftvp_core.store.store import RunRow, Store
from ui import comparison, state
from ui.differing import where_they_differ
from ui.frame import frame
from ui.runs import ACTIVE, WATCH_EVERY_S, how_to_go_on, progress_line, report_of, run_list, state_line
from ui.words import plain


def show(store: Store, run: RunRow) -> None:
    report = report_of(store, run)
    head(store, report)
    comparison.answer(report.comparison, report.decision, run.state)
    names = [one.name for one in report.comparison.candidates]
    start = names.index(baseline(report.comparison, report.decision))
    against = st.selectbox("Held against", names, index=start, key=state.of_run(state.BASELINE, run.id), width=280)
    comparison.evidence(report.comparison, report.latencies_s, against)
    comparison.table(report.comparison, against)
    comparison.slices(report.comparison)
    comparison.rules(report.decision)


def head(store: Store, report: Report) -> None:
    run = report.run
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch", gap=None):
            st.header(plain(run.name), anchor=False)
            st.caption(state_line(run, len(report.eval_set.examples)))
        downloads(report, store)
    if run.state in ACTIVE:
        st.progress(*progress_line(run))
    if early := how_to_go_on(run):
        with st.container(border=True, key="problem"):
            st.text(early)
            st.code(f"python -m ftvp_core run --resume {run.id}", language="shell")


def downloads(report: Report, store: Store) -> None:
    """Made when they are asked for, not when the page is drawn."""
    made: dict[str, Callable[[], Iterable[Sequence[str]]]] = {
        "candidates": lambda: candidate_rows(report),
        "examples": lambda: example_rows(report, store),
    }
    for name, rows in made.items():
        file, key = f"{report.run.id}-{name}.csv", state.of_run(f"{state.CSV}-{name}", report.run.id)
        made_of = partial(lambda rows: csv_text(rows()), rows)
        st.download_button(f"CSV: {name}", made_of, file, "text/csv", on_click="ignore", key=key)


@st.fragment(run_every=WATCH_EVERY_S)
def watch(store: Store, run_id: str) -> None:
    run = store.run(run_id)
    if run.state not in ACTIVE:
        st.rerun()
    show(store, run)


with frame("Compare") as store:
    run_id = st.query_params.get(state.RUN)
    if run_id is None:
        st.header("Compare", anchor=False)
        run_list(store)
    elif (run := store.run(run_id)).state in ACTIVE:
        watch(store, run_id)
    else:
        show(store, run)
        where_they_differ(store, report_of(store, run))
