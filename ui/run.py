"""The Run page's parts: the limit, the start button with its amount, and a run that is watched."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ftvp_core.jobs.answered import answered_before, countable
from ftvp_core.jobs.enqueue import enqueue
from ftvp_core.jobs.measure import Expected, expected
from ftvp_core.jobs.progress import ArmProgress, RunProgress, run_progress
from ftvp_core.report import figures
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.estimate import Estimate, estimate
from ftvp_core.store.store import Store
from ui import address, state, training
from ui.batches import batches
from ui.words import plain

WATCH_EVERY_S = 1.0
#: Causes of failure named for each candidate, the commonest first.
CAUSES_SHOWN = 3
#: Calls that are looked up in the cache unasked: a tenth of a second's work.
LOOKED_UP = 2_000


def start(store: Store, draft_id: str, plan: Plan) -> None:
    """What the run takes, and one button with the amount on it."""
    most = estimate(plan)
    trainings = expected(store, plan)
    _metrics(most, trainings)
    if most.calls:
        st.caption(plain(_made_of(plan, most)))
    if most.batched:
        st.caption(f"{most.batched:,} of these calls in batches: half price, latency not measured, up to 24 h.")
    if most.searching:
        st.caption(
            f"{most.searching:,} of these calls embed or re-rank passages: fewer where an earlier run paid for them."
        )
    for said in _labels(plan):
        st.caption(plain(said))
    if plan.limit_usd is not None and most.most_usd is not None and most.most_usd > plan.limit_usd:
        st.caption("It may cost more than the limit: then it ends early, keeps what finished, and can go on.")
    training.before(store, plan, trainings)
    amount = (
        f", at most {figures.dollars(min(most.most_usd, plan.limit_usd or most.most_usd))}" if most.most_usd else ""
    )
    compared, rows = sum(not arm.is_side for arm in plan.arms), len(plan.sources.eval_set.examples)
    label = f"Run {most.calls:,} calls{amount}" if most.calls else f"Run {compared} candidates on {rows:,} rows"
    beside, asked = len(plan.spec.side_arms()), plan.sources.forgetting_set
    if beside and asked is not None:
        st.caption(
            f"Beside them {beside} are asked the {len(asked.examples):,} rows of the forgetting set: the tuned ones and"
            " their bases."
        )
    cached = st.empty()
    if st.button(label, type="primary"):
        run_id = enqueue(store, draft_id, plan)
        address.show_run(run_id)
        st.rerun()
    _from_cache(cached, store, plan)


def _from_cache(place: DeltaGenerator, store: Store, plan: Plan) -> None:
    """How many of the calls needn't be paid for again: looked up when the rest of the page is there."""
    calls = countable(plan)
    if not calls:
        return
    if calls > LOOKED_UP and not place.button(
        "See what the cache has", help=f"Every one of {calls:,} calls is made up as it would be sent: it takes a while"
    ):
        return
    place.caption("Looking up what the cache has …")
    found = answered_before(store, plan)
    said = (
        f"The cache has none of these {found.calls:,} calls." if found.calls else "Nothing was looked up in the cache."
    )
    if found.known:
        said = f"The cache has {found.known:,} of {found.calls:,} calls: they are neither sent nor billed again."
    if found.left_out:
        said += f" Not looked up, for their prompts are known after a search: {', '.join(found.left_out)}."
    place.caption(plain(said))


def _metrics(most: Estimate, trainings: Sequence[Expected]) -> None:
    calls, tokens, cost, time = st.columns([2, 3, 3, 3])
    calls.metric("Calls", f"{most.calls:,}", help=_on_top(most.repairs))
    tokens.metric(
        "Tokens in, and out at most",
        f"{figures.count(most.input_tokens)}, {figures.count(most.output_tokens)}",
        help=f"Those in counted by: {most.counted_by or 'nobody, for no server is asked'}. Those out if every answer is"
        " as long as it may be",
    )
    cost.metric(
        "Cost",
        figures.dollar_range(most.least_usd, most.most_usd) if most.most_usd is not None else "unknown",
        help="From the prompts alone to answers as long as they may be, of twice as many tokens and with every repair."
        " What the cache has isn't billed again; unknown where a model has no price",
    )
    unmeasured = any(one.seconds is None for one in trainings)
    time.metric(
        "Time",
        figures.duration(most.seconds + sum(one.seconds or 0 for one in trainings)) + (" + training" * unmeasured),
        help="If a call takes one second, with training as it is measured; indexing and this machine's answers on top",
    )


def _made_of(plan: Plan, most: Estimate) -> str:
    """`4 × 60 rows × 2 repeats; 256 under load`: what the calls are for."""
    asked = [arm for arm in plan.arms if arm.is_remote and not arm.is_side]
    repeats = plan.spec.run.repeats
    times = f" × {repeats} repeats" if repeats > 1 else ""
    parts = [f"{len(asked)} × {len(plan.sources.eval_set.examples):,} rows{times}"] if asked else []
    labels = sum(arm.calls for arm in plan.arms if arm.is_remote and arm.labels)
    parts += [f"{labels:,} for labels"] if labels else []
    parts += [f"{most.loading:,} for the latency under load"] if most.loading else []
    rest = most.calls - sum(arm.calls for arm in asked) - labels - most.loading
    parts += [f"{rest:,} for searches"] if rest else []
    return f"Calls: {'; '.join(parts)}."


def _on_top(repairs: int) -> str:
    """What may be called beyond the planned calls."""
    said = "Retries come on top; a refused call isn't billed"
    if not repairs:
        return said
    return f"{said}. Up to {repairs:,} repairs come on top where a server has no JSON mode of its own: they are in the cost"


def _labels(plan: Plan) -> Iterator[str]:
    """What teachers are asked before anything is tuned."""
    for at, arm in enumerate(plan.arms):
        if arm.labels is None:
            continue
        cost = estimate(plan, [arm]).most_usd if arm.is_remote else None
        paid = f", at most {figures.dollars(cost)}" if cost is not None else ""
        where = f"of these{paid}" if arm.is_remote else "on this machine"
        yield f"First {plan.side_name(at)}: {arm.calls:,} calls {where}, for {len(arm.examples):,} training rows."


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
    """Buttons stand above all that grows while one reaches for them."""
    _bar(now)
    if now.is_live:
        with st.container(horizontal=True):
            _live_buttons(store, run_id, now)
    _said(now)
    if not now.is_live:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _ended_buttons(store, run_id, now)
    _arms(now)
    batches(now)
    with st.container(gap="xxsmall"):
        for arm in now.arms:
            if arm.json_modes:
                st.caption(plain(f"{arm.name}: JSON mode {figures.json_mode(arm.json_modes)}"))
            if arm.failures:
                causes = " · ".join(f"{times:,} × {cause}" for cause, times in arm.failures[:CAUSES_SHOWN])
                st.caption(plain(f"{arm.name}: {causes}"))
    training.trainings(now.trainings, now.planned_trainings)


def _bar(now: RunProgress) -> None:
    share = now.done / now.total if now.total else 0.0
    rate = (
        f", {now.rate_per_s:.3g} a second, {figures.duration(now.left_s)} left" if now.rate_per_s and now.left_s else ""
    )
    how_far = f"{now.done:,} of {now.total:,}{' steps' if now.trains else ''}{rate}"
    if now.waits:
        another = "training" if now.trains else "ingestion"
        how_far = f"waits for another {another} on this machine, which does one at a time"
    st.progress(min(1.0, share), text=plain(f"{now.phase}: {how_far}"))


def _said(now: RunProgress) -> None:
    """What there is to know beside the figures."""
    if now.state == "queued":
        st.caption("A worker takes it within a second. If none runs, start one: python -m ftvp_core worker")
    if now.paused:
        st.info(
            "Paused: no call is sent, no training step is done. Its worker keeps what it has loaded, and takes no other"
            " run meanwhile."
        )
    for cause in now.stopped:
        st.warning(plain(f"Going on without {cause}"))
    if now.state == "interrupted":
        st.warning("Interrupted: the process that worked on it is gone. What finished is kept, as a partial result.")
    if now.state == "cancelled":
        st.warning("Cancelled. What finished is kept, as a partial result.")
    elif now.cause:
        st.warning(plain(f"Ended {now.state}: {now.cause}. What finished is kept."))
    limit = f" of {figures.dollars(now.limit_usd)}" if now.limit_usd is not None else ""
    held = (
        f", {figures.dollars(now.reserved_usd)} reserved for calls under way or of unknown cost"
        if now.reserved_usd
        else ""
    )
    st.caption(plain(f"Known to be spent: {figures.dollars(now.spent_usd)}{limit}{held}."))


def _arms(now: RunProgress) -> None:
    """A row a candidate; a column only where one of them has something in it."""
    table = pd.DataFrame([_row(arm) for arm in now.arms])
    table = table[[name for name in table if (table[name] != "").any()]]
    config = {
        "candidate": st.column_config.Column(pinned=True),
        **dict.fromkeys(("per s", "time left", "spent", "reserved"), st.column_config.Column(alignment="right")),
        **dict.fromkeys(
            ("answered", "of", "failed", "from cache", "attempts", "retries"),
            st.column_config.NumberColumn(format="localized"),
        ),
    }
    st.dataframe(table, column_config=config, hide_index=True, alt="Progress of each candidate")


def _row(arm: ArmProgress) -> dict[str, object]:
    return {
        "candidate": arm.name,
        "answered": arm.done - arm.failed,
        "of": arm.total,
        "failed": arm.failed,
        "per s": f"{arm.rate_per_s:.3g}" if arm.rate_per_s is not None else "",
        "time left": figures.duration(arm.left_s) if arm.left_s is not None else "",
        "from cache": arm.from_cache,
        "attempts": arm.attempts,
        "retries": arm.retries,
        "spent": figures.dollars(arm.spent_usd) if arm.spent_usd is not None else "",
        "reserved": figures.dollars(arm.reserved_usd) if arm.reserved_usd else "",
    }


def _live_buttons(store: Store, run_id: str, now: RunProgress) -> None:
    if now.paused:
        st.button("Resume", on_click=store.pause, args=(run_id,), kwargs={"paused": False})
    elif now.can_pause:
        kept = "No new call or training step after a second; what is loaded stays loaded"
        st.button("Pause", help=kept, on_click=store.pause, args=(run_id,), kwargs={"paused": True})
    st.button(
        "Cancel",
        help="No new call after a second; what is finished is kept; batches are cancelled at their providers",
        on_click=store.cancel,
        args=(run_id,),
    )


def _new_limit(now: RunProgress, run_id: str) -> Decimal | None:
    """The limit to go on with; None where the run has none."""
    if now.limit_usd is None:
        return None
    asked = st.number_input(
        "Limit to go on with, in USD",
        0.0,
        value=float(now.limit_usd),
        step=0.5,
        format="%.2f",
        width=220,
        key=state.of_run(state.NEW_LIMIT, run_id),
        help="Of the whole run, with what is spent already",
    )
    return Decimal(str(asked))


def _ended_buttons(store: Store, run_id: str, now: RunProgress) -> None:
    if now.state != "done":
        limit = _new_limit(now, run_id)
        if st.button("Go on", help="What is finished isn't sent again"):
            store.requeue(run_id, enqueued=True, limit_usd=limit)
            st.rerun()
    retry = f"Retry the {now.failed:,} failed rows" if now.failed > 1 else "Retry the failed row"
    if now.failed and st.button(retry, help="What was answered isn't sent again"):
        store.requeue(run_id, enqueued=True, failed=True)
        st.rerun()
    if now.done:
        st.page_link("pages/4_Compare.py", label="Compare", query_params={address.RUN: run_id})
