"""The Candidates page's list: a candidate in words, and what one click does with it."""

import secrets

import streamlit as st

from ftvp_core.draft_candidates import base_of, bounds_of, removed
from ftvp_core.drafts import Keys, change, names_gold, put_candidate
from ftvp_core.spec import DEFAULT, Candidate, RetrievalSpec
from ftvp_core.store.store import Store
from ui import candidate_form, distilled, state
from ui.frame import shown_errors
from ui.retrieval_form import MODES
from ui.words import plain


def listed(store: Store, draft_id: str, keys: Keys, candidate: Keys) -> None:
    """One candidate in a line with its buttons; in their place the form, while it is edited or copied."""
    name = candidate["name"]
    with st.container(horizontal=True, vertical_alignment="center", key=f"listed-{name}"):
        st.markdown(described(candidate), width="stretch")
        with shown_errors(f"bounds-{name}"):
            bounds_button(store, draft_id, keys, candidate)
            base_button(store, draft_id, keys, candidate)
        distilled.button(candidate)
        st.button("Edit", key=f"edit-{name}", help=f"Change {name}", on_click=_open, args=(name, False))
        copied = f"Begin another candidate with what {name} is"
        st.button("Duplicate", key=f"duplicate-{name}", help=copied, on_click=_open, args=(name, True))
        if st.button("Remove", key=f"remove-{name}", help=f"Remove {name}"):
            change(store, draft_id, **removed(keys, name))
            st.rerun()
    opened = st.session_state.get(state.OPENED)
    if opened is not None and opened.name == name:
        with shown_errors(f"edit-{name}"):
            candidate_form.opened_form(store, draft_id, keys, candidate, opened)


def _open(name: str, is_copy: bool) -> None:
    """With a place of its own for each time: what was typed and not saved is forgotten."""
    st.session_state[state.OPENED] = candidate_form.Opened(name, is_copy, secrets.token_hex(4))


def described(candidate: Keys) -> str:
    """One line: name, method, model and what is special, in Markdown with the name taken literally."""
    one = Candidate(**candidate)
    parts = [one.method, one.model or one.floor or one.recorded or ""]
    if one.shots and one.shots.k:
        parts.append(f"{one.shots.k} {one.shots.select} shots")
    if one.retrieval:
        parts += _searched(one.retrieval)
    if one.output_schema is not None:
        parts.append("output schema")
    if one.tune and one.tune.teacher:
        parts.append(f"learns from {one.tune.teacher}")
    return f"**{plain(one.name)}** · {plain(' · '.join(part for part in parts if part))}"


def _searched(retrieval: RetrievalSpec) -> list[str]:
    """What is special about a search, part by part."""
    filters = [f"{key} {pattern}" for key, pattern in (retrieval.filter or {}).items()]
    if retrieval.oracle:
        return ["gold passages", *filters]
    embeds = retrieval.embedder if retrieval.mode != "lexical" and retrieval.embedder != DEFAULT else None
    return [
        f"by {MODES[retrieval.mode]}, top {retrieval.top_k}",
        *([f"embedded by {embeds}"] if embeds else []),
        *([f"re-ranked by {retrieval.rerank}"] if retrieval.rerank else []),
        *filters,
    ]


def bounds_button(store: Store, draft_id: str, keys: Keys, candidate: Keys) -> None:
    """One click adds what a RAG candidate lies between, where the eval set names gold passages."""
    retrieval = candidate.get("retrieval")
    if retrieval is None or retrieval.get("oracle") or not names_gold(keys):
        return
    bounds = bounds_of(candidate)
    there = {one["name"] for one in keys["candidates"]}
    if all(one["name"] in there for one in bounds):
        return
    if st.button(
        "Add bounds",
        key=f"bounds-{candidate['name']}",
        help="The same with the gold passages, which no search can beat, and with none: what the model knows by itself",
    ):
        for one in bounds:
            keys = {**keys, "candidates": put_candidate(keys, one)}
        change(store, draft_id, candidates=keys["candidates"])
        st.rerun()


def base_button(store: Store, draft_id: str, keys: Keys, candidate: Keys) -> None:
    """One click adds what a tuned candidate was before, where it isn't there yet."""
    base = base_of(keys, candidate)
    if base is None:
        return
    if st.button(
        "Add its base",
        key=f"base-{candidate['name']}",
        help="The same without tuning: what the tuning changed is known only against it",
    ):
        change(store, draft_id, candidates=put_candidate(keys, base))
        st.rerun()
