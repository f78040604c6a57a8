"""Decide: what to do, why, and what would change it."""

import streamlit as st

from ui import address, decide, demo, tuned, volume
from ui.frame import frame
from ui.runs import report_of

with frame("Decide") as store:
    run_id = address.run_id()
    if run_id is None and (newest := store.runs(limit=1)):
        run_id = newest[0].id
        address.show_run(run_id)  # whoever copies the address shares this one, not what is newest later
    if run_id is None:
        st.title("Decide", anchor=False)
        demo.nothing_yet(store)
    else:
        report = report_of(store, store.run(run_id))
        decide.verdict(report)
        tuned.before_after(report.comparison)
        decide.reasons(report.decision)
        volume.by_volume(report)
        st.page_link("pages/4_Compare.py", label="The figures behind it", query_params={address.RUN: run_id})
