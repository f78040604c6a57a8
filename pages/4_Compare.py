"""Compare: the answer first, the evidence below. `?run=ID` opens one run; without it, the runs are listed."""

import streamlit as st

from ftvp_core.store.store import RunRow, Store
from ui import address, comparison, curves, demo, distilled, exports, retrieval, sharing, state, tuned
from ui.differing import where_they_differ
from ui.frame import frame
from ui.runs import ACTIVE, head, progress, report_of, run_list
from ui.under_load import under_load


def show(store: Store, run: RunRow) -> None:
    report = report_of(store, run)
    head(store, report)
    if run.state in ACTIVE:
        progress(store, run)
    comparison.answer(report.comparison, report.decision, run.state)
    if run.state in ACTIVE:
        st.page_link(
            "pages/3_Run.py", label="Each candidate's progress, pause and cancel", query_params={address.RUN: run.id}
        )
        if not any(one.n_scored for one in report.comparison.candidates):
            return  # charts and tables of nothing would only push this away
    comparison.evidence(report.comparison, report.latencies_s)
    comparison.standing(report.comparison, report.decision, state.of_run(state.BASELINE, run.id))
    tuned.before_after(report.comparison)
    curves.curves(report.comparison)
    distilled.outcome(report.comparison)
    distilled.downloads(store, report)
    under_load(report.comparison)
    retrieval.figures(store, report)
    comparison.slices(report.comparison)
    comparison.rules(report.decision)


with frame("Compare") as store:
    run_id = address.run_id()
    if run_id is None:
        st.title("Compare", anchor=False)
        if not store.runs(limit=1):
            demo.nothing_yet(store)
        run_list(store, on_compare=True)
    else:
        run = store.run(run_id)
        show(store, run)
        if run.state not in ACTIVE:
            where_they_differ(store, report_of(store, run))
            exports.models(store, report_of(store, run))
            sharing.links(store, report_of(store, run))
