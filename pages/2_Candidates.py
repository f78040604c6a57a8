"""Candidates: a form, and the same thing as the comparison file, in both directions."""

import streamlit as st

from ftvp_core.draft_sweeps import removed
from ftvp_core.drafts import change, draft_keys, from_text, to_text
from ui import address, candidates, distilled, sweeps
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
        for candidate in keys.get("candidates", ()):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(candidates.described(candidate), width="stretch")
                with shown_errors(f"bounds-{candidate['name']}"):
                    candidates.bounds_button(store, draft_id, keys, candidate)
                    candidates.base_button(store, draft_id, keys, candidate)
                distilled.button(candidate)
                if st.button("Remove", key=f"remove-{candidate['name']}", help=f"Remove {candidate['name']}"):
                    change(store, draft_id, **removed(keys, candidate["name"]))
                    st.rerun()
        with shown_errors("distil"):
            distilled.form(store, draft_id, keys)
        with shown_errors("form"):
            candidates.add_form(store, draft_id, keys)
        with shown_errors("sweeps"):
            sweeps.sweeps_part(store, draft_id, keys)
    with file, shown_errors("file"):
        text = st.text_area("The same comparison as a file", to_text(keys), height=420)
        if st.button("Use this file", disabled=text == to_text(keys)):
            store.keep_draft(draft_id, from_text(text))
            st.rerun()

    if keys.get("candidates"):
        st.page_link("pages/3_Run.py", label="Next: run", query_params={address.DRAFT: draft_id})
