"""The Candidates page's sweeps: a learning curve with one click, and any number of a candidate over some values."""

import streamlit as st

from ftvp_core.draft_sweeps import SWEEPABLE, Sizes, learning_curve, put_sweep, sweepable, without_sweep
from ftvp_core.drafts import Keys, change, check_so_far
from ftvp_core.errors import UserError
from ftvp_core.store.store import Store
from ui.curves import axis
from ui.words import plain

SIZES: dict[Sizes, str] = {
    "shares": "10, 25, 50 and 100 % of the rows",
    "rows a label": "5, 10, 25 and all rows of each label",
}


def sweeps_part(store: Store, draft_id: str, keys: Keys) -> None:
    """The draft's sweeps, and the two forms that add one; nothing where no candidate has a number to sweep."""
    able = {one["name"]: numbers for one in keys.get("candidates", ()) if (numbers := sweepable(one))}
    if not able and not keys.get("sweeps"):
        return
    st.header("Curves and sweeps", anchor=False)
    for sweep in keys.get("sweeps", ()):
        _listed(store, draft_id, keys, sweep)
    tuned = [one["name"] for one in keys.get("candidates", ()) if one.get("tune") is not None]
    if tuned:
        _learning_curve(store, draft_id, keys, tuned)
    if able:
        _sweep(store, draft_id, keys, able)


def _listed(store: Store, draft_id: str, keys: Keys, sweep: Keys) -> None:
    seeds = len(sweep.get("seeds", ()))
    times = f" · {seeds} seeds each: {seeds * len(sweep['values'])} in all" if seeds > 1 else ""
    values = ", ".join(f"{one:,g}" for one in sweep["values"])
    said = f"Remove the sweep of {sweep['candidate']} over {sweep['over']}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{plain(sweep['candidate'])}** by {plain(axis(sweep['over']))}: {plain(values + times)}", width="stretch"
        )
        if st.button("Remove", key=f"remove-sweep-{sweep['candidate']}-{sweep['over']}", help=said):
            change(store, draft_id, sweeps=without_sweep(keys, sweep["candidate"], sweep["over"]) or None)
            st.rerun()


def _learning_curve(store: Store, draft_id: str, keys: Keys, tuned: list[str]) -> None:
    with st.container(border=True):
        st.markdown("**Learning curve**: would more training rows help?")
        name, sizes, seeds, add = st.columns([3, 4, 2, 2], vertical_alignment="bottom")
        chosen = name.selectbox("Tuned candidate", tuned, key="curve-candidate")
        size = sizes.selectbox("Sizes", list(SIZES), format_func=SIZES.__getitem__, key="curve-sizes")
        n = int(
            seeds.number_input(
                "Seeds",
                1,
                10,
                3,
                key="curve-seeds",
                help="Trainings of each size: how far they differ is in the interval",
            )
        )
        st.caption(
            f"{4 * n} trainings, of nested rows: smaller sets are part of larger ones. Where the answers are labels, a"
            " classical floor learns from the same rows beside it."
        )
        if add.button("Add the curve", key="add-curve"):
            change(store, draft_id, **learning_curve(keys, chosen, size, n))
            st.rerun()


def _sweep(store: Store, draft_id: str, keys: Keys, able: dict[str, list[str]]) -> None:
    with st.container(border=True):
        st.markdown("**Sweep** one number of a candidate")
        name, number, values, seeds, add = st.columns([3, 2, 3, 2, 2], vertical_alignment="bottom")
        chosen = name.selectbox("Candidate", list(able), key="sweep-candidate")
        over = number.selectbox("Number", able[chosen], format_func=axis, key=f"sweep-over-{chosen}")
        given = values.text_input(
            "Values", ", ".join(f"{one:g}" for one in SWEEPABLE[over]), key=f"sweep-values-{over}"
        )
        n = int(seeds.number_input("Seeds", 1, 10, 1, key="sweep-seeds", disabled=not over.startswith("tune.")))
        st.caption(
            "Every value is a candidate of its own, asked and, where it is a tuning's, trained. The best of several, chosen on the eval set that"
            " measures it, looks better than it is: Compare shows it with that luck taken off."
        )
        if add.button("Add the sweep", key="add-sweep"):
            repeated = range(n) if n > 1 and over.startswith("tune.") else ()
            sweeps = put_sweep(keys, chosen, over, _numbers(given), list(repeated))
            check_so_far({**keys, "sweeps": sweeps})
            change(store, draft_id, sweeps=sweeps)
            st.rerun()


def _numbers(text: str) -> list[float]:
    """`4, 8, 16`: whole numbers stay whole. Raises UserError."""
    found: list[float] = []
    for part in text.replace(";", ",").split(","):
        try:
            value = float(part)
        except ValueError:
            raise UserError("values", f"found {part.strip()!r}", "expected numbers such as 4, 8, 16") from None
        found.append(int(value) if value.is_integer() else value)
    return found
