"""The Run page's settings: what the comparison file has under `run`, and the prices of the machines' hours."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import streamlit as st

from ftvp_core.drafts import Keys, change_part
from ftvp_core.jobs.enqueue import needs_limit
from ftvp_core.spec import LoadSpec, RunSpec
from ftvp_core.store.store import Store
from ui import state

DEFAULT, LOAD = RunSpec(), LoadSpec()
#: Numbers of calls in flight that are offered; a file may name any.
LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: The limit to begin with where one is needed.
FIRST_LIMIT_USD = 1.0

#: What a setting does, and when another value is of use.
WHY = {
    "max_cost_usd": "What providers may bill for this run, held to the cent: a call whose cost might exceed it isn't sent."
    " Needed where a model's price is known; empty: none.",
    "repeats": "How often each row is asked. The spread between the repeats shows how much an answer depends on chance: of"
    " use where the temperature is above 0. Each repeat is billed.",
    "concurrency": "How many calls are in flight at once, over all candidates. More is faster until the provider refuses:"
    " its refusals are waited for and tried again.",
    "timeout_s": "A call without an answer after this long is given up, and tried again.",
    "seed": "Draws the shots, the rows of a limited training set's floor and the splits: the same seed, the same run.",
    "cache": "An answer to the same question (model, messages, settings, repeat) isn't asked for again, nor billed. Its"
    " latency is the earlier call's, and marked.",
    "load": "After the comparison the servers' candidates are asked again, at each of these numbers of calls in flight,"
    " one level after another: latency and throughput as your traffic would meet them. Billed, and never from the cache.",
    "levels": "Each is measured alone.",
    "examples": "Of each candidate at each level; at least as many as the largest level has in flight.",
    "machine_hour": "What an hour of this machine costs you. Without it, what local answers and trainings cost is unknown.",
    "gpu_hour": "The same for an hour of its GPU.",
}


def limit_input(store: Store, draft_id: str, keys: Keys) -> Decimal | None:
    """The most that providers may bill; there is one as soon as a price is known. Raises UserError."""
    given = keys.get("run", {}).get("max_cost_usd")
    first = FIRST_LIMIT_USD if needs_limit(keys) else None
    kept = float(given) if given is not None else first
    limit = _number(
        store, draft_id, "run", "max_cost_usd", "Limit, in USD", kept, st, 0.0, step=0.5, format="%.2f", width=220
    )
    return None if limit is None else Decimal(str(limit))


def settings(store: Store, draft_id: str, keys: Keys) -> None:
    """Each is kept in the draft as soon as it is changed."""
    run, prices = keys.get("run", {}), keys.get("prices", {})

    def kept(name: str) -> Any:
        return run.get(name, getattr(DEFAULT, name))

    def number(box: Any, name: str, label: str, low: float, high: float | None = None, **look: Any) -> None:
        _number(store, draft_id, "run", name, label, kept(name), box, low, high, **look)

    with st.expander("Run settings"):
        boxes = st.columns(4)
        number(boxes[0], "repeats", "Repeats", 1)
        number(boxes[1], "concurrency", "Calls in flight", 1, 4096)
        number(boxes[2], "timeout_s", "Give a call up after, in s", 0.001, step=10.0, format="%g")
        number(boxes[3], "seed", "Seed", 0, 2**32 - 1)
        _tick(store, draft_id, "cache", "Use the cache of answers", kept("cache"), lambda on: on)
        _load(store, draft_id, run.get("load"))
        boxes = st.columns(4)
        for box, (name, label) in zip(
            boxes,
            (("machine_hour", "USD an hour of this machine"), ("gpu_hour", "USD an hour of its GPU")),
            strict=False,
        ):
            price = prices.get(name)
            _number(store, draft_id, "prices", name, label, None if price is None else float(price), box, 0.0)


def _load(store: Store, draft_id: str, load: Keys | None) -> None:
    """Off, or the levels and how many calls each has: never fewer than are in flight."""
    _tick(store, draft_id, "load", "Measure the latency under load", load is not None, lambda on: {} if on else None)
    if load is None:
        return
    chosen = list(load.get("concurrency", LOAD.concurrency))
    examples = load.get("examples", LOAD.examples)

    def keep(levels: list[int], each: int) -> None:
        given = {"concurrency": sorted(levels), "examples": max(each, *levels)} if levels else None
        change_part(store, draft_id, "run", load=given)

    left, right = st.columns([3, 1])
    key = _shown("levels", draft_id, chosen)
    left.multiselect(
        "Calls in flight, one level after another",
        sorted({*LEVELS, *chosen}),
        key=key,
        help=WHY["levels"],
        on_change=lambda: keep(st.session_state[key], examples),
    )
    each = _shown("load-examples", draft_id, examples)
    right.number_input(
        "Calls a level",
        max(chosen),
        100_000,
        key=each,
        help=WHY["examples"],
        on_change=lambda: keep(chosen, st.session_state[each]),
    )


def _number(
    store: Store, draft_id: str, part: str, name: str, label: str, kept: float | None, box: Any, low: float,
    high: float | None = None, **look: Any,
) -> float | None:  # fmt: skip
    """A number of the draft's part; empty where it has none. A default isn't kept: the file stays short."""
    key = _shown(name, draft_id, None if kept is None else type(low)(kept))
    default = getattr(DEFAULT, name, None)

    def keep() -> None:
        given = st.session_state[key]
        change_part(store, draft_id, part, **{name: None if given == default else given})

    found: float | None = box.number_input(
        label, low, high, value=None, key=key, help=WHY[name], placeholder="none", on_change=keep, **look
    )
    return found


def _tick(store: Store, draft_id: str, name: str, label: str, kept: bool, given: Callable[[bool], Any]) -> None:
    key = _shown(name, draft_id, kept)
    default = getattr(DEFAULT, name)

    def keep() -> None:
        value = given(st.session_state[key])
        change_part(store, draft_id, "run", **{name: None if value == default else value})

    st.checkbox(label, key=key, help=WHY[name], on_change=keep)


def _shown(name: str, draft_id: str, kept: Any) -> str:
    """A widget's key, with the draft's value in it: another tab, or the file, may have changed that."""
    key = state.of_draft(f"{state.SETTING}-{name}", draft_id)
    st.session_state[key] = kept
    return key
