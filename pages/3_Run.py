"""Run: what it takes before the start, how far it is during it, what to do after it."""

import streamlit as st

from ftvp_core.drafts import draft_keys
from ftvp_core.jobs.enqueue import plan_draft
from ui import address, run
from ui.frame import frame, shown_errors
from ui.words import plain

with frame("Run") as store:
    st.title("Run", anchor=False)
    draft_id = address.draft_id(store)
    run_id = address.run_id() or store.draft_run(draft_id)
    live = False
    if run_id is not None:
        with shown_errors("watched"):
            st.subheader(plain(store.run(run_id).name), anchor=False)
            live = run.watched(store, run_id)

    keys = draft_keys(store, draft_id)
    if live:
        st.stop()
    st.subheader("Start a run" if run_id is None else "Run it again", anchor=False, divider="gray" if run_id else False)
    if not (keys.get("eval_set") and keys.get("candidates")):
        st.info("A run needs an eval set and at least one candidate.")
        st.page_link("pages/1_Data.py", label="Upload an eval set", query_params={address.DRAFT: draft_id})
    else:
        with shown_errors("start"):
            limit = run.limit_input(keys)
            run.start(store, draft_id, plan_draft(keys, limit))
