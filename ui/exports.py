"""Tuned models on Compare: the adapter at once, the merged model from a worker, and what serves them."""

from functools import partial
from pathlib import Path

import streamlit as st

from ftvp_core.jobs.export import adapter_zip, merged_zip, served_here
from ftvp_core.report.card import file_name
from ftvp_core.report.load import Report
from ftvp_core.store import exports
from ftvp_core.store.store import Store
from ui import state
from ui.words import plain

WATCH_EVERY_S = 2
#: A larger model is fetched from where it lies: a browser's download is held in memory whole.
LARGEST_DOWNLOAD = 500_000_000


def models(store: Store, report: Report) -> None:
    """For a finished run's tuned candidates."""
    names = [one.candidate for one in report.comparison.tunes if one.adapter is not None]
    if not names:
        return
    with st.expander("Use a tuned model elsewhere"):
        name = st.selectbox("Tuned candidate", names, key=state.of_run(state.EXPORTED, report.run.id))
        full = (tune := report.spec.by_name(name).tune) is not None and tune.method == "full"
        if not full:
            st.markdown("**Adapter**: small; the server loads the base and puts it on top")
            st.download_button(
                "Download the adapter",
                partial(adapter_zip, store, report, name),
                f"{file_name(name)}-adapter.zip",
                "application/zip",
                on_click="ignore",
                key=state.of_run(f"{state.EXPORTED}-adapter", report.run.id),
            )
            _commands(report, name, merged=False)
        st.markdown("**Merged model**: as large as its base, and needs nothing else")
        _merged(store, report, name)
        _commands(report, name, merged=True)


def _merged(store: Store, report: Report, name: str) -> None:
    """Asked for, waited for (this part alone is drawn again while it is made), fetched."""
    run_id = report.run.id
    waits = _is_awaited(exports.export_of(store, run_id, name))

    @st.fragment(run_every=WATCH_EVERY_S if waits else None)
    def shown() -> None:
        row = exports.export_of(store, run_id, name)
        if waits != _is_awaited(row):
            st.rerun()
        if row is not None and row.path is not None and Path(row.path).is_dir():
            _fetched(Path(row.path), name, run_id)
        elif row is not None and waits:
            said = "A worker merges it: it takes about as long as loading and saving the base."
            st.text(said if row.is_under_way else "It waits for a worker: python -m ftvp_core worker")
            if not row.is_under_way and st.button("Cancel", key=f"merge-cancel-{run_id}"):
                exports.withdraw(store, run_id, name)
                st.rerun()
        else:
            if row is not None and row.error:
                st.text(row.error)
            if st.button("Make it", key=f"merge-{run_id}"):
                exports.ask(store, run_id, name)
                st.rerun()

    shown()


def _is_awaited(row: exports.ExportRow | None) -> bool:
    return row is not None and row.path is None and row.error is None


def _fetched(folder: Path, name: str, run_id: str) -> None:
    size = sum(file.stat().st_size for file in folder.iterdir())
    st.text(f"It lies in {folder} ({size / 1e6:,.1f} MB).")
    if size <= LARGEST_DOWNLOAD:
        st.download_button(
            "Download the merged model",
            partial(merged_zip, folder),
            f"{file_name(name)}.zip",
            "application/zip",
            on_click="ignore",
            key=f"merged-{run_id}",
        )


def _commands(report: Report, name: str, *, merged: bool) -> None:
    for server, one in served_here(report, name, merged=merged).items():
        st.caption(f"Serve it with {plain(server)}, from inside its folder. A request names the model `{one.model}`")
        st.code(one.command, language="shell")
