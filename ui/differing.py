"""Where two candidates differ: the examples, with both answers side by side and the difference marked."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

import streamlit as st

from ftvp_core.report.differences import KINDS, Differing, Kind, differing
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ui import retrieval, state
from ui.words import clipped, plain

_PAGE = 5
_LONG = 600
_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")


@st.fragment
def where_they_differ(store: Store, report: Report) -> None:
    """Choose two candidates and a kind; page through the examples. Reruns alone."""
    names = [candidate.name for candidate in report.spec.candidates]
    if len(names) < 2:
        return
    st.header("Where they differ", anchor="differ")
    run_id = report.run.id
    chosen = report.decision.choose or names[0]
    left, right = st.columns(2)
    first = left.selectbox("A", names, index=names.index(chosen), key=state.of_run(state.FIRST, run_id))
    others = [name for name in names if name != first]
    second = right.selectbox("B", others, key=state.of_run(state.SECOND, run_id))
    found = _differing(store, report, run_id, report.run.state, first, second)
    said = {"first": "A right, B wrong", "second": "B right, A wrong", "neither": "both wrong"}
    kind: Kind = st.segmented_control(
        "Examples",
        KINDS,
        format_func=lambda one: f"{said[one]} ({len(found[one]):,})",
        default="first",
        required=True,
        key=state.of_run(state.KIND, run_id),
        label_visibility="collapsed",
        wrap=True,
    )
    key = state.of_run(f"{kind}-{first}-{second}", run_id)
    _paged(store, report, _diagnosed(found[kind], key), first, second, f"{state.PAGE}-{key}")


def _diagnosed(found: list[Differing], key: str) -> list[Differing]:
    """Those of the diagnosis that the visitor chooses, where one of the two retrieves and gold is known."""
    sides = {"A": [one.first for one in found], "B": [one.second for one in found]}
    asked = [name for name, side in sides.items() if any(answered.diagnosis for answered in side)]
    kept = list(range(len(found)))
    for column, name in zip(st.columns(2), asked, strict=False):
        with column:
            only = retrieval.chosen(f"{name}'s retrieval", sides[name], f"{state.DIAGNOSIS}-{name}-{key}")
        kept = [at for at in kept if only is None or sides[name][at].diagnosis == only]
    return [found[at] for at in kept]


def _paged(store: Store, report: Report, found: list[Differing], first: str, second: str, key: str) -> None:
    if not found:
        st.text("No example.")
        return
    pages = -(-len(found) // _PAGE)
    place = st.container(gap="small")
    page = st.pagination(pages, key=key) if pages > 1 else 1
    with place:
        for one in found[(page - 1) * _PAGE : page * _PAGE]:
            _example(store, report, one, first, second)


def _example(store: Store, report: Report, one: Differing, first: str, second: str) -> None:
    shown = [clipped(answered.output, _LONG) for answered in (one.first, one.second)]
    with st.container(border=True, key=f"texts-{one.example.id}", gap="small"):
        st.caption(plain(f"{one.example.id}{''.join(f' · {tag}' for tag in one.example.tags)}"))
        st.text(clipped(one.example.input, _LONG))
        columns = st.columns(3)
        titles = ("reference", f"A: {first}", f"B: {second}")
        reference = plain(" | ".join(one.example.references))
        for column, title, body in zip(columns, titles, (reference, *marked(*shown)), strict=True):
            column.caption(plain(title))
            column.markdown(body if body.strip() else "*empty*")
        sides = (("A", first, one.first), ("B", second, one.second))
        for column, (letter, name, answered) in zip(st.columns(2), sides, strict=True):
            with column:
                retrieval.given(store, report, letter, name, one.example, answered)


def marked(first: str, second: str) -> tuple[str, str]:
    """Both as Markdown, words that the other lacks on a coloured ground; nothing in them is markup."""
    a, b = _TOKENS.findall(first), _TOKENS.findall(second)
    ways = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return (
        "".join(_mark(a[start:end], way != "equal") for way, start, end, _, _ in ways),
        "".join(_mark(b[start:end], way != "equal") for way, _, _, start, end in ways),
    )


def _mark(tokens: Iterable[str], differs: bool) -> str:
    text = "".join(tokens)
    if not text or not differs or not text.strip():
        return plain(text) if text else ""
    # A mark can't span lines: each line of it is marked by itself.
    return "  \n".join(
        f":orange-background[{plain(line)}]" if line.strip() else plain(line) for line in text.split("\n")
    )


@st.cache_resource(show_spinner=False, max_entries=8)
def _differing(
    _store: Store, _report: Report, run_id: str, run_state: str, first: str, second: str
) -> dict[Kind, list[Differing]]:
    return differing(_report, _store, first, second)
