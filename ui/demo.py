"""What the demo teaches, as it was measured: four findings, each with its figures."""

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ftvp_core.jobs.enqueue import DEMO, enqueue_demo
from ftvp_core.store.store import Store
from ftvp_core.types import Interval
from ui import address, charts, state
from ui.comparison import draw, level
from ui.words import plain

FINDINGS = DEMO.parent / "findings.json"


def run_button(store: Store) -> None:
    """Starts the shipped comparison and goes to it. Raises UserError."""
    if st.button("Run the demo", help="A small shipped model, asked 200 questions six ways: no key, no network"):
        run_id = enqueue_demo(store)
        st.switch_page("pages/4_Compare.py", query_params={address.RUN: run_id})


def nothing_yet(store: Store) -> None:
    """What a page about a run says before there is any."""
    st.info("Nothing has been run yet. The demo takes a few minutes; your own comparison starts with an eval set.")
    with st.container(horizontal=True, vertical_alignment="center"):
        run_button(store)
        st.page_link("pages/1_Data.py", label="Start with your own eval set")


@st.fragment
def findings(*, expanded: bool) -> None:
    """The shipped table's findings, drawn when they are opened. A run of the demo measures a part of them again, live."""
    opened = st.expander("What the demo shows", expanded=expanded, key=state.DEMO_FINDINGS, on_change="rerun")
    with opened:
        if opened.open:
            _findings()


def _findings() -> None:
    found = json.loads(FINDINGS.read_text(encoding="utf-8"))
    shown = [(one, _chart(one)) for one in found["findings"]]
    for pair in zip(shown[::2], shown[1::2], strict=True):
        height = level(*(chart for _, chart in pair))
        for column, (one, chart) in zip(st.columns(2, border=True), pair, strict=True):
            with column:
                st.markdown(f"**{plain(one['title'])}**")
                st.text(one["text"])
                draw(chart, height)
    st.caption(
        "A small model of our own, trained on an invented world to make the machinery visible; its card is"
        f" assets/demo/MODEL_CARD.md. Measured {found['measured']} by `make demo-table`; intervals 95 %."
    )


def _chart(one: Mapping[str, Any]) -> charts.Chart:
    cells = [
        charts.Share(cell["name"], cell["method"], cell["accuracy"], Interval(*cell["interval"]))
        for cell in one["cells"]
    ]
    return charts.shares(cells, one["chance"])
