"""Home: what this is, and the newest comparisons."""

import streamlit as st

from ui import demo
from ui.frame import frame
from ui.runs import run_list

with frame("Home") as store:
    st.title("Prompt, retrieve or fine-tune?", anchor=False)
    st.markdown(
        "For your task, on your data, at your volume: ftvp runs prompts, retrieval and fine-tuned models on the same"
        " examples. It shows how often each is right and how sure that is, what an answer costs and how long it takes."
        " It says which one to choose by rules that you can read, and says so where the data don't decide it yet."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        demo.run_button(store)
        st.page_link("pages/1_Data.py", label="Start with your own eval set")
    st.header("Comparisons", anchor=False)
    run_list(store)
    has_runs = bool(store.runs(limit=1))
    if not has_runs:
        st.text("There is none yet.")
    demo.findings(expanded=not has_runs)
