"""What the page's address names: a run, a draft. Ids only."""

import streamlit as st

from ftvp_core.drafts import new_draft
from ftvp_core.store.store import Store

RUN = "run"
DRAFT = "draft"
LINK = "link"


def run_id() -> str | None:
    return st.query_params.get(RUN)


def show_run(run_id: str) -> None:
    st.query_params[RUN] = run_id


def draft_id(store: Store) -> str:
    """The draft that the address names, else the newest, else a new one; the address names it from then on."""
    named = st.query_params.get(DRAFT)
    if named is not None and store.draft(named) is not None:
        return named
    found = store.newest_draft() or new_draft(store)
    st.query_params[DRAFT] = found
    return found
