"""Data: what the files are, how they were read, and what is wrong with them."""

import streamlit as st

from ftvp_core.drafts import change, draft_keys
from ui import address, data
from ui.findings import findings_list
from ui.frame import frame, shown_errors

with frame("Data") as store:
    draft_id = address.draft_id(store)
    keys = draft_keys(store, draft_id)
    st.title("Data", anchor=False)

    name = st.text_input("Name of the comparison", keys.get("name", ""), max_chars=200)
    if name and name != keys.get("name"):
        change(store, draft_id, name=name)
        st.rerun()

    named = ["Eval set", "Training set (optional)", "Knowledge (optional)", "Forgetting set (optional)"]
    evaluated, trained, knowledge, forgotten = st.tabs(named)
    with evaluated, shown_errors("eval_set"):
        st.caption("Questions with the answers you would accept. No model is trained on them or shown them.")
        data.examples_part(store, draft_id, keys, "eval_set")
    with trained, shown_errors("train_set"):
        st.caption("Rows for few-shot prompts, floors and tuning.")
        data.examples_part(store, draft_id, keys, "train_set")
        data.split_off(store, draft_id, keys)
    with knowledge, shown_errors("knowledge"):
        st.caption("Texts, documents or rows that retrieval may quote.")
        data.knowledge_part(store, draft_id, keys)
    with forgotten, shown_errors("forgetting_set"):
        st.caption(
            "Other questions, which the model answers well today. Each tuned candidate and its base answer them too, with"
            " the candidate's own prompt: what the tuned one no longer knows is what the tuning has cost. The file needs"
            " the columns that the prompt names; the question itself is always {input}."
        )
        data.examples_part(store, draft_id, keys, "forgetting_set")

    if "eval_set" in keys:
        st.header("Findings", anchor=False)
        with shown_errors("findings"):
            findings_list(store, draft_id, keys)
        st.page_link("pages/2_Candidates.py", label="Next: define candidates", query_params={address.DRAFT: draft_id})
