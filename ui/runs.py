"""Runs as a visitor meets them: a list of links, a state in words, a report that is read once."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import streamlit as st

from ftvp_core.jobs.progress import left_s
from ftvp_core.report import figures
from ftvp_core.report.load import ReadSet, Report, load_report, reader, stored_findings
from ftvp_core.report.write import candidate_rows, csv_text, example_rows
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import ExampleSet, Finding
from ui import address, state
from ui.words import ago, plain

COMPARE = "pages/4_Compare.py"
#: States that change by themselves: a page watches them.
ACTIVE = frozenset({"queued", "running"})
WATCH_EVERY_S = 2
#: Answers that are read and compared in a tenth of a second.
_READ_IN_NO_TIME = 4_000
_COLOURS = {"done": "green", "running": "blue", "queued": "gray", "failed": "red"}
_ENDED = {
    "partial": "ended partial", "failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted",
}  # fmt: skip
_LISTED = 20


def run_list(store: Store, *, on_compare: bool = False) -> None:
    """The newest runs, each a link to its comparison; refreshed alone while one of them goes on."""
    goes_on = any(run.state in ACTIVE for run in store.runs(limit=_LISTED))

    @st.fragment(run_every=WATCH_EVERY_S if goes_on else None)
    def watch() -> None:
        runs = store.runs(limit=_LISTED)
        for run in runs:
            _listed(run, on_compare=on_compare)
        if (older := store.count_runs() - len(runs)) > 0:
            st.caption(f"{older:,} older ones: python -m ftvp_core runs")
        if goes_on and not any(run.state in ACTIVE for run in runs):
            st.rerun()  # nothing is left to watch

    watch()


def _listed(run: RunRow, *, on_compare: bool) -> None:
    """Its name, its state, how old it is, and how far while it goes on."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not on_compare:
            st.page_link(COMPARE, label=plain(run.name), query_params={address.RUN: run.id})
        elif st.button(plain(run.name), key=run.id, type="tertiary"):  # a link would leave the address as it is
            address.show_run(run.id)
            st.rerun()
        state_badge(run)
        far = f"{progress_line(run)[1]} · " if run.state == "running" else ""
        st.caption(plain(f"{far}{ago(run.created_at)} · {run.id}"), width="content")


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
    """Read once for each state of a run, and moment of one that goes on: a click doesn't read it again."""
    with st.spinner("Reading the results …"):
        return _report(store, run.id, *_read_anew(run))


def _read_anew(run: RunRow) -> tuple[str, float | None, int]:
    """Another value when a run is to be read again."""
    return run.state, run.finished_at, moment(run)


def moment(run: RunRow) -> int:
    """Another number when the figures of a run that goes on are to be read again.

    The more answers there are, the longer that takes, and the less a few more change: every 2 s at first, every 16 s
    from 16,000 on, every 32 s from 32,000 on. Of a paused one they are only read when a call has ended.
    """
    if run.state not in ACTIVE:
        return 0
    done = int((run.progress or {}).get("done", 0))
    every_s = WATCH_EVERY_S * 2 ** (done // _READ_IN_NO_TIME).bit_length()
    return -done if run.pause else int(time.time() / every_s)


@st.cache_resource(show_spinner=False, max_entries=8)
def _report(_store: Store, run_id: str, state_: str, finished_at: float | None, moment_: int) -> Report:
    return load_report(_store, run_id, _findings, partial(_set, _store))


@st.cache_resource(show_spinner=False, max_entries=4)
def _set(_store: Store, key: str) -> ExampleSet:
    return reader(_store)(key)


@st.cache_resource(show_spinner=False, max_entries=8)
def _findings(_read_set: ReadSet, eval_set: str, train_set: str | None) -> Sequence[Finding]:
    return stored_findings(_read_set, eval_set, train_set)


def head(store: Store, report: Report) -> None:
    """A run's name, its state, its downloads; why it ended early and how to go on."""
    run = report.run
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch", gap=None):
            st.title(plain(run.name), anchor=False)
            st.caption(state_line(run, len(report.eval_set.examples)))
        downloads(report, store)
    if early := how_to_go_on(run):
        with st.container(border=True, key="problem"):
            st.text(early)
            st.code(f"python -m ftvp_core run --resume {run.id}", language="shell")


def progress(store: Store, drawn: RunRow) -> None:
    """How far a run is, refreshed alone; the page is drawn again when there is more to say than when it was `drawn`."""

    shown = _read_anew(drawn)

    @st.fragment(run_every=WATCH_EVERY_S)
    def watch() -> None:
        run = store.run(drawn.id)
        st.progress(*progress_line(run))
        if (now := _read_anew(run)) != shown:
            _report(store, run.id, *now)  # read here: meanwhile the page stays as it is, and is then drawn at once
            st.rerun()

    watch()


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
