"""The Candidates page's graders: who judges the answers, each explained, with what suits the references."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from ftvp_core.draft_graders import Judged, entries_of, first_graders, put_grader, without_grader
from ftvp_core.drafts import Keys, change
from ftvp_core.grading import Grader, chosen, registered
from ftvp_core.store.store import Store
from ui import state
from ui.frame import shown_errors
from ui.reading import judged_of
from ui.words import plain

#: What an option is for; one that isn't here is asked for by its name.
OPTIONS = {
    "pattern": "A regular expression in RE2's syntax; empty: each row's reference is one",
    "tolerance": "How far the two numbers may differ",
}


def graders_part(store: Store, draft_id: str, keys: Keys) -> None:
    """The draft's graders, kept as soon as one is ticked. Raises UserError for what the file has."""
    rows = judged_of(keys)
    first = first_graders(keys, rows.suggestion if rows else None)
    if first is not None:
        change(store, draft_id, graders=first)
        st.rerun()
    now = chosen(entries_of(keys))
    names = list(dict.fromkeys(one.name for one, _ in now))
    st.header("Graded by", anchor=False)
    st.markdown(f"**{plain(', '.join(names))}**" + (": all have to find an answer right" if len(now) > 1 else ""))
    if rows is not None:
        _said(store, draft_id, rows, names)
    with st.expander("Choose who grades"):
        for one in registered():
            given = [options for other, options in now if other == one]
            _tick(store, draft_id, keys, one, is_chosen=bool(given), is_only=names == [one.name])
            for name, type_ in one.options.items() if given else ():
                _option(store, draft_id, keys, one, given, name, type_)


def _said(store: Store, draft_id: str, rows: Judged, names: list[str]) -> None:
    """What suits the references, and which rows the graders don't judge."""
    suggestion = rows.suggestion
    if suggestion is not None:
        st.caption(plain(suggestion.why))
        best = None if {*suggestion.fits} & {*names} else next(iter(suggestion.fits), None)
        if best and st.button(f"Grade by {best}", help=f"In place of {', '.join(names)}"):
            change(store, draft_id, graders=[best])
            st.rerun()
    if rows.own:
        rest = rows.rows - rows.own
        left = f"the graders judge the other {rest:,}" if rest else "no grader is asked"
        st.caption(
            f"{rows.own:,} of {rows.rows:,} rows bring checks of their own and are judged by those alone: {left}."
        )


def _tick(store: Store, draft_id: str, keys: Keys, one: Grader, *, is_chosen: bool, is_only: bool) -> None:
    key = state.of_draft(f"grader-{one.name}", draft_id)
    st.session_state[key] = is_chosen
    st.checkbox(
        f"**{plain(one.name)}** · {plain(one.about)}",
        key=key,
        disabled=is_only,
        help="The only one: choose another first" if is_only else None,
        on_change=partial(_keep, store, draft_id, keys, one.name, key),
    )


def _keep(store: Store, draft_id: str, keys: Keys, name: str, key: str) -> None:
    ticked = st.session_state[key]
    change(store, draft_id, graders=put_grader(keys, name, {}) if ticked else without_grader(keys, name))


def _option(
    store: Store, draft_id: str, keys: Keys, one: Grader, given: list[Mapping[str, Any]], name: str, type_: type
) -> None:
    """One option of a chosen grader, kept when it is typed and valid."""
    if len(given) > 1:
        st.caption(f"{plain(one.name)} stands several times: its options are in the comparison file.")
        return
    (kept,) = given
    key = state.of_draft(f"grader-{one.name}-{name}-{kept.get(name)}", draft_id)  # another tab may change it
    label, why = f"{one.name}: {name}", OPTIONS.get(name)
    typed: Any
    if type_ is float:
        shown = float(kept[name]) if name in kept else None
        typed = st.number_input(label, 0.0, value=shown, key=key, help=why, placeholder="0", format="%g")
    else:
        typed = st.text_input(label, str(kept.get(name, "")), key=key, help=why) or None
    if typed == kept.get(name):
        return
    others = {option: value for option, value in kept.items() if option != name}
    with shown_errors(f"grader-{one.name}"):
        entries = put_grader(keys, one.name, {**others, **({} if typed is None else {name: typed})})
        change(store, draft_id, graders=entries)
        st.rerun()
