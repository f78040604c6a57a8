"""Run: what it takes before the start, how far it is during it, what to do after it."""

import streamlit as st

from ftvp_core.drafts import draft_keys
from ftvp_core.jobs.enqueue import plan_draft
from ui import address, run, run_settings
from ui.frame import frame, shown_errors
from ui.words import plain

with frame("Run") as store:
    st.title("Run", anchor=False)
    draft_id = address.draft_id(store)
    run_id = address.run_id() or store.draft_run(draft_id)
    live = False
    if run_id is not None:
        with shown_errors("watched"):
            st.header(plain(store.run(run_id).name), anchor=False)
            live = run.watched(store, run_id)

    keys = draft_keys(store, draft_id)
    if live:
        st.stop()
    its_own = run_id is not None and run_id == store.draft_run(draft_id)
    st.header("Run it again" if its_own else "Start a run", anchor=False, divider="gray" if run_id else False)
    st.caption(plain(keys.get("name", "")))
    if not (keys.get("eval_set") and keys.get("candidates")):
        st.info("A run needs an eval set and at least one candidate.")
        st.page_link("pages/1_Data.py", label="Upload an eval set", query_params={address.DRAFT: draft_id})
    else:
        with shown_errors("start"):
            limit = run_settings.limit_input(store, draft_id, keys)
            run_settings.settings(store, draft_id, keys)
            run.start(store, draft_id, plan_draft(keys, limit))
