"""Home: what this is, and the newest comparisons."""

import streamlit as st

from ftvp_core.jobs.enqueue import enqueue_demo
from ui import address, demo
from ui.frame import frame
from ui.runs import run_list

with frame("Home") as store:
    st.title("Prompt, retrieve or fine-tune?", anchor=False)
    st.markdown(
        "For your task, on your data, at your volume: ftvp runs prompts, retrieval and fine-tuned models on the same"
        " examples. It shows how often each is right and how sure that is, what an answer costs and how long it takes."
        " It says which one to choose by rules that you can read, and says so where the data don't decide it yet."
    )
    with st.container(horizontal=True):
        st.page_link("pages/1_Data.py", label="Start with your own eval set")
        if st.button("Run the demo", help="A small shipped model, asked 200 questions six ways: no key, no network"):
            st.switch_page("pages/4_Compare.py", query_params={address.RUN: enqueue_demo(store)})
    st.subheader("Comparisons", anchor=False)
    run_list(store)
    demo.findings(expanded=not store.runs())
