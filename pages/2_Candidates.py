"""Candidates: a form, and the same thing as the comparison file, in both directions."""

import streamlit as st

from ftvp_core.drafts import draft_keys, from_text, to_text
from ui import address, candidate_form, candidates, distilled, graders, sweeps
from ui.frame import frame, shown_errors

with frame("Candidates") as store:
    draft_id = address.draft_id(store)
    keys = draft_keys(store, draft_id)
    st.title("Candidates", anchor=False)

    if "eval_set" not in keys:
        st.info("A candidate's prompt names the eval set's columns, and there is no eval set yet.")
        st.page_link("pages/1_Data.py", label="Upload an eval set", query_params={address.DRAFT: draft_id})

    form, file = st.tabs(["Form", "Comparison file"])
    with form:
        with shown_errors("graders"):
            graders.graders_part(store, draft_id, keys)
        if keys.get("candidates"):
            st.header("Compared", anchor=False)
        for candidate in keys.get("candidates", ()):
            candidates.listed(store, draft_id, keys, candidate)
        with shown_errors("distil"):
            distilled.form(store, draft_id, keys)
        with shown_errors("form"):
            candidate_form.add_form(store, draft_id, keys)
        with shown_errors("sweeps"):
            sweeps.sweeps_part(store, draft_id, keys)
    with file, shown_errors("file"):
        text = st.text_area("The same comparison as a file", to_text(keys), height=420)
        if st.button("Use this file", disabled=text == to_text(keys)):
            store.keep_draft(draft_id, from_text(text))
            st.rerun()

    if keys.get("candidates"):
        st.page_link("pages/3_Run.py", label="Next: run", query_params={address.DRAFT: draft_id})
