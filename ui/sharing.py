"""Links to one frozen comparison: made, listed, revoked, and what they let a viewer take away."""

import time
from urllib.parse import urlsplit

import streamlit as st

from ftvp_core.report.load import Report
from ftvp_core.report.share import Shared, share
from ftvp_core.report.write import candidate_rows, csv_text
from ftvp_core.store.store import Store
from ui import address, state


def links(store: Store, report: Report) -> None:
    """Make a link to this comparison as it is now; see and revoke those that are there."""
    with st.expander("Share"):
        st.text("A link shows this comparison as it is now: figures, charts and their CSV, no prompts and no examples.")
        if st.button("Make a link"):
            token = share(store, report)
            here = urlsplit(st.context.url or "")
            st.text("Copy it now: it is kept as a hash and can't be shown again.")
            st.code(f"{here.scheme}://{here.netloc}/Shared?{address.LINK}={token}", language=None)
        for one in store.shares(report.run.id):
            with st.container(horizontal=True, vertical_alignment="center"):
                made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.created_at))
                st.text(f"Link of {made}", width="stretch")
                if st.button("Revoke", key=f"revoke-{one.token_sha256}", help="It shows nothing from then on"):
                    store.revoke(one.token_sha256)
                    st.rerun()


def download(shared: Shared) -> None:
    """The table as CSV."""

    def made() -> str:
        return csv_text(candidate_rows(shared.comparison))

    st.download_button(
        "CSV: candidates", made, "comparison.csv", "text/csv", on_click="ignore", key=f"{state.CSV}-shared"
    )
