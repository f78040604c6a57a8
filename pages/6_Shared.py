"""Shared: one frozen comparison, read-only, for whoever has its link. `?link=TOKEN`"""

import time

import streamlit as st

from ftvp_core.report.share import open_shared
from ui import address, comparison, curves, distilled, sharing, state, tuned
from ui.frame import viewer_frame
from ui.under_load import under_load
from ui.words import plain

with viewer_frame("Shared comparison") as store:
    token = st.query_params.get(address.LINK, "")
    shared = open_shared(store, token)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch", gap=None):
            st.title(plain(shared.name), anchor=False)
            frozen = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(shared.shared_at))
            st.caption(f"{shared.n:,} examples · {shared.state} · as of {frozen}")
        sharing.download(shared)
    comparison.answer(shared.comparison, shared.decision, shared.state)
    comparison.evidence(shared.comparison, shared.latencies_s)
    comparison.standing(shared.comparison, shared.decision, state.BASELINE)
    tuned.before_after(shared.comparison)
    curves.curves(shared.comparison)
    distilled.outcome(shared.comparison)
    under_load(shared.comparison)
    comparison.slices(shared.comparison)
    comparison.rules(shared.decision)
