"""A run's batches on its page: what their providers say of them, since when, and when each ends at the latest."""

import pandas as pd
import streamlit as st

from ftvp_core.jobs.progress import BatchProgress, RunProgress
from ftvp_core.report import figures


def batches(now: RunProgress) -> None:
    """Nothing where the run has none. Pausing doesn't hold up what is with a provider."""
    if not now.batches:
        return
    st.markdown("**Batches** · half price, latency not measured, up to 24 h")
    rows = [_row(one) for one in now.batches]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="The batches at their providers, in the order they were made")
    waiting = sum(one.is_open for one in now.batches)
    if waiting and not now.is_live:
        batch = "A batch" if waiting == 1 else f"{waiting} batches"
        st.caption(f"{batch} may still bring answers, which are billed: Go on reads them.")
    elif waiting and now.limit_usd is not None:
        st.caption("A call that finds no room under the cost limit waits until a batch gives back what it holds of it.")


def _row(one: BatchProgress) -> dict[str, object]:
    return {
        "model": one.model,
        "state": one.state if one.is_open else f"{one.state}, read",
        "requests": one.requests,
        "answered": one.completed,
        "failed": one.failed,
        "sent": f"{figures.duration(one.age_s)} ago",
        "ends within": _left(one) if one.is_open else "",
    }


def _left(one: BatchProgress) -> str:
    return figures.duration(one.left_s) if one.left_s > 0 else "its 24 h are over"
