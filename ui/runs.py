"""Runs as a visitor meets them: a list of links, a state in words, a report that is read once."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import streamlit as st

from ftvp_core.jobs.progress import left_s
from ftvp_core.report import figures
from ftvp_core.report.load import ReadSet, Report, load_report, stored_findings
from ftvp_core.report.write import candidate_rows, csv_text, example_rows
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import Finding
from ui import address, state
from ui.words import ago, plain

COMPARE = "pages/4_Compare.py"
#: States that change by themselves: a page watches them.
ACTIVE = frozenset({"queued", "running"})
WATCH_EVERY_S = 2
_COLOURS = {"done": "green", "running": "blue", "queued": "gray", "failed": "red"}
_ENDED = {
    "partial": "ended partial", "failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted",
}  # fmt: skip
_LISTED = 20


def run_list(store: Store, *, on_compare: bool = False) -> None:
    """The newest runs, each a link to its comparison."""
    runs = store.runs(limit=_LISTED)
    for run in runs:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if on_compare:  # a link to the page that one is on leaves the address as it is
                st.button(plain(run.name), key=run.id, type="tertiary", on_click=address.show_run, args=(run.id,))
            else:
                st.page_link(COMPARE, label=plain(run.name), query_params={address.RUN: run.id})
            state_badge(run)
            st.caption(f"{ago(run.created_at)} · {run.id}", width="content")
    if (older := store.count_runs() - len(runs)) > 0:
        st.caption(f"{older:,} older ones: python -m ftvp_core runs")


def state_badge(run: RunRow) -> None:
    st.badge(run.state, color=_COLOURS.get(run.state, "orange"))  # type: ignore[arg-type]


def state_line(run: RunRow, examples: int) -> str:
    """`400 examples · done 2 min ago · 261124-…`."""
    when = ago(run.finished_at) if run.finished_at else f"· begun {ago(run.created_at)}"
    return f"{examples:,} examples · {run.state} {when} · {run.id}"


def progress_line(run: RunRow) -> tuple[float, str]:
    """The share done, and the same in words, with the time left where it is known."""
    found = run.progress or {}
    done, total, phase = found.get("done", 0), found.get("total", 0), found.get("phase", run.state)
    left = left_s(run)
    more = f", about {figures.duration(left)} left" if left is not None else ""
    return (done / total if total else 0.0), f"{phase}: {done:,} of {total:,}{more}" if total else str(phase)


def how_to_go_on(run: RunRow) -> str | None:
    """For a run that ended early: why, what is kept, and the command that goes on with it."""
    if run.state in ACTIVE or run.state == "done":
        return None
    cause = run.cause or "its process ended before it was done"
    return f"This run {_ENDED.get(run.state, run.state)}: {cause}. What finished is kept and shown. Go on with it:"


def report_of(store: Store, run: RunRow) -> Report:
    """Read once for each state of a run: a click doesn't read it again. One that goes on is read every two seconds."""
    tick = int(time.time() / WATCH_EVERY_S) if run.state in ACTIVE else 0
    return _report(store, run.id, run.state, run.finished_at, tick)


@st.cache_resource(show_spinner=False, max_entries=8)
def _report(_store: Store, run_id: str, state_: str, finished_at: float | None, tick: int) -> Report:
    return load_report(_store, run_id, _findings)


@st.cache_resource(show_spinner=False, max_entries=8)
def _findings(_read_set: ReadSet, eval_set: str, train_set: str | None) -> Sequence[Finding]:
    return stored_findings(_read_set, eval_set, train_set)


def head(store: Store, report: Report) -> None:
    """A run's name, its state, its downloads; how far it is, or why it ended early and how to go on."""
    run = report.run
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch", gap=None):
            st.title(plain(run.name), anchor=False)
            st.caption(state_line(run, len(report.eval_set.examples)))
        downloads(report, store)
    if run.state in ACTIVE:
        st.progress(*progress_line(run))
    if early := how_to_go_on(run):
        with st.container(border=True, key="problem"):
            st.text(early)
            st.code(f"python -m ftvp_core run --resume {run.id}", language="shell")


def downloads(report: Report, store: Store) -> None:
    """Made when they are asked for, not when the page is drawn."""
    made: dict[str, Callable[[], Iterable[Sequence[str]]]] = {
        "candidates": lambda: candidate_rows(report.comparison),
        "examples": lambda: example_rows(report, store),
    }
    for name, rows in made.items():
        file, key = f"{report.run.id}-{name}.csv", state.of_run(f"{state.CSV}-{name}", report.run.id)
        made_of = partial(lambda rows: csv_text(rows()), rows)
        st.download_button(f"CSV: {name}", made_of, file, "text/csv", on_click="ignore", key=key)
