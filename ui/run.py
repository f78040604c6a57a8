"""The Run page's parts: the limit, the start button with its amount, and a run that is watched."""

from decimal import Decimal

import pandas as pd
import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.jobs.enqueue import enqueue
from ftvp_core.jobs.progress import RunProgress, run_progress
from ftvp_core.report import figures
from ftvp_core.runs.plan import Plan, estimate
from ftvp_core.store.store import Store
from ui import address

WATCH_EVERY_S = 1.0


def limit_input(keys: Keys) -> Decimal | None:
    """The most that providers may bill; needed as soon as a price is known."""
    given = keys.get("run", {}).get("max_cost_usd")
    priced = st.checkbox(
        "Limit the cost",
        value=given is not None or bool(keys.get("prices")),
        help="Needed where a model's price is known; held to the cent",
    )
    if not priced:
        return None
    return Decimal(str(st.number_input("At most, in USD", 0.0, value=float(given or 1.0), step=0.5, format="%.2f")))


def start(store: Store, draft_id: str, plan: Plan) -> None:
    """What the run takes, and one button with the amount on it."""
    most = estimate(plan)
    rows = len(plan.sources.eval_set.examples)
    calls, tokens, cost, time = st.columns(4)
    calls.metric("Calls", f"{most.calls:,}", help="Retries come on top; a refused call isn't billed")
    tokens.metric("Tokens in", figures.count(most.input_tokens), help=f"Counted by: {most.counted_by}")
    cost.metric("Cost, at most", figures.dollars(most.most_usd) if most.most_usd is not None else "unknown")
    time.metric(
        "Time", figures.duration(most.seconds), help="If a call takes one second; training and indexing come on top"
    )
    amount = (
        f", at most {figures.dollars(min(most.most_usd, plan.limit_usd or most.most_usd))}" if most.most_usd else ""
    )
    label = f"Run {most.calls:,} calls{amount}" if most.calls else f"Run {len(plan.arms)} candidates on {rows:,} rows"
    if st.button(label, type="primary"):
        run_id = enqueue(store, draft_id, plan)
        address.show_run(run_id)
        st.rerun()


def watched(store: Store, run_id: str) -> bool:
    """A run's state, refreshed alone while it lives; returns whether it does."""
    live = run_progress(store, run_id).is_live

    @st.fragment(run_every=WATCH_EVERY_S if live else None)
    def watch() -> None:
        now = run_progress(store, run_id)
        _show(store, run_id, now)
        if live and not now.is_live:
            st.rerun()

    watch()
    return live


def _show(store: Store, run_id: str, now: RunProgress) -> None:
    share = now.done / now.total if now.total else 0.0
    rate = (
        f", {now.rate_per_s:.3g} a second, {figures.duration(now.left_s)} left" if now.rate_per_s and now.left_s else ""
    )
    st.progress(min(1.0, share), text=f"{now.phase}: {now.done:,} of {now.total:,}{rate}")
    if now.state == "queued":
        st.caption("A worker takes it within a second. If none runs, start one: python -m ftvp_core worker")
    if now.cause:
        st.warning(f"Ended {now.state}: {now.cause}. What finished is kept.")
    limit = f" of {figures.dollars(now.limit_usd)}" if now.limit_usd is not None else ""
    st.caption(
        f"Known to be spent: {figures.dollars(now.spent_usd)}{limit}, {figures.dollars(now.reserved_usd)} reserved for calls under way."
    )
    rows = [(arm.name, arm.done - arm.failed, arm.total, arm.failed) for arm in now.arms]
    table = pd.DataFrame(rows, columns=["candidate", "answered", "of", "failed"])
    st.dataframe(table, hide_index=True, alt="Progress of each candidate")
    for name, log in now.losses.items():
        if log:
            st.line_chart(pd.DataFrame(log, columns=["step", f"training loss of {name}"]).set_index("step"))
    for cause, times in now.failures[:5]:
        st.caption(f"{times:,} × {cause}")
    if now.is_live:
        if st.button("Cancel", help="No new call after a second; what is finished is kept"):
            store.cancel(run_id)
    elif now.state != "done":
        if st.button("Go on with it", help="What is finished isn't sent again"):
            store.requeue(run_id, enqueued=True)
            st.rerun()
    else:
        st.page_link("pages/4_Compare.py", label="Compare", query_params={address.RUN: run_id})
