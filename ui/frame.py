"""What is around every page: its title, the way through, who may see it, and errors in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from ftvp_core.access import AccessDenied, engineer_store, viewer_store
from ftvp_core.drafts import without_folders
from ftvp_core.errors import FtvpError
from ftvp_core.store.store import Store
from ui import address, state

_ROOT = Path(__file__).parents[1]
_ASSETS = _ROOT / "assets"
#: The way through, in its order. Pages that aren't there yet are left out of the sidebar.
_WAY = (
    ("app.py", "Home"),
    ("pages/1_Data.py", "Data"),
    ("pages/2_Candidates.py", "Candidates"),
    ("pages/3_Run.py", "Run"),
    ("pages/4_Compare.py", "Compare"),
    ("pages/5_Decide.py", "Decide"),
)
#: The pages that show one run: the way there keeps it.
_OF_A_RUN = {"pages/3_Run.py", "pages/4_Compare.py", "pages/5_Decide.py"}
_SIDEBAR_PX = 200
#: What the store and the right to it depend on.
_SETTINGS = ("FTVP_HOME", "FTVP_DATABASE_URL", "FTVP_ACCESS_KEY", "FTVP_VIEWER_ONLY")


@contextmanager
def frame(title: str) -> Iterator[Store]:
    """Draw the frame and open the store for the page inside. An FtvpError there is one line, not a traceback."""
    _dress(title)
    try:
        store = _store()
        _sidebar()
        yield store
    except AccessDenied as denied:
        _ask_for_key(denied)
        st.stop()
    except FtvpError as error:
        _say(error)
        st.stop()


@contextmanager
def viewer_frame(title: str) -> Iterator[Store]:
    """The frame of a shared link: no way to any other page, whoever looks."""
    _dress(title)
    try:
        yield viewer_store()
    except FtvpError as error:
        _say(error)
        st.stop()


def _dress(title: str) -> None:
    st.set_page_config(
        page_title=f"{title} · ftvp",
        page_icon=str(_ASSETS / "logo-icon.svg"),
        layout="wide",
        initial_sidebar_state=_SIDEBAR_PX,
    )
    st.html(_ROOT / "ui" / "style.css")
    st.logo(str(_ASSETS / "logo.svg"), size="large", icon_image=str(_ASSETS / "logo-icon.svg"))


@contextmanager
def shown_errors(part: str) -> Iterator[None]:
    """An FtvpError inside is one line in its place, and the rest of the page stays. `part` is the place's key."""
    try:
        yield
    except FtvpError as error:
        _say(error, part)


def _store() -> Store:
    settings = tuple(os.environ.get(name) for name in _SETTINGS)
    return _open(st.session_state.get(state.ACCESS_KEY), settings)


@st.cache_resource(show_spinner=False, max_entries=32)
def _open(given_key: str | None, settings: tuple[str | None, ...]) -> Store:
    """One store for all visitors with the same right to it; a refusal isn't kept."""
    return engineer_store(given_key)


def _sidebar() -> None:
    run = address.run_id()
    with st.sidebar, st.container(gap=None):
        for path, label in _WAY:
            if (_ROOT / path).exists():
                kept = {address.RUN: run} if run and path in _OF_A_RUN else None
                st.page_link(path, label=label, query_params=kept, width="stretch")


def _ask_for_key(denied: AccessDenied) -> None:
    _say(denied)
    if denied.needs_key:
        st.text_input("Access key", type="password", key=state.TYPED_KEY, width=360, on_change=_keep_key)


def _keep_key() -> None:
    """A widget's own value goes when the widget does; the key is for the whole visit."""
    st.session_state[state.ACCESS_KEY] = st.session_state[state.TYPED_KEY]


def _say(error: FtvpError, part: str = "page") -> None:
    """An error's text as it is: names and paths in it are no markup."""
    with st.container(border=True, key=f"problem-{part}"):
        st.text(without_folders(str(error)))
