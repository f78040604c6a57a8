"""What the Run page says of trainings: what they will take, beforehand; how they go, while they do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

import plotly.graph_objects as go
import streamlit as st

from ftvp_core.jobs.measure import Expected, ask_all, expected
from ftvp_core.jobs.progress import Training
from ftvp_core.report import figures
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.learned_rows import few_rows
from ftvp_core.store.measurements import withdraw
from ftvp_core.store.store import Store
from ui import state
from ui.charts import HUES, Chart
from ui.words import plain

WATCH_EVERY_S = 1.0
#: A longer curve is drawn as the means of so many stretches.
MOST_POINTS = 400
#: More trainings than this are summed up.
MOST_LINES = 4


def before(store: Store, plan: Plan, trainings: list[Expected]) -> None:
    """Each training's time, memory and cost, once they are measured; what is short of rows is said."""
    for line in few_rows(plan):
        st.warning(plain(line))
    if not trainings:
        return
    waits = any(one.is_asked for one in trainings)

    @st.fragment(run_every=WATCH_EVERY_S if waits else None)
    def watch() -> None:
        now = expected(store, plan)
        _expectations(now)
        if waits and not any(one.is_asked for one in now):
            st.rerun()  # the whole page: the figures above count them too
        if waits:
            if st.button("Stop measuring"):
                for one in now:
                    if one.is_asked:
                        withdraw(store, one.key)
                st.rerun()
        elif any(one.seconds is None and not one.is_later for one in now) and st.button(
            "Measure the training first",
            help="A few steps on the longest rows, on the worker's machine: they change nothing",
        ):
            ask_all(store, plan)
            st.rerun()

    watch()


def _expectations(trainings: Sequence[Expected]) -> None:
    """A line a training; of many one line for those of which the same is to be said, and what all take together."""
    if len(trainings) <= MOST_LINES:
        for one in trainings:
            st.caption(plain(f"Training {one.name}: {in_words(one)}"))
        return
    measured = [one for one in trainings if one.seconds is not None]
    for said, times in Counter(in_words(one) for one in trainings if one.seconds is None).items():
        st.caption(plain(f"{times} of {len(trainings)} trainings: {said}"))
    if measured:
        seconds = sum(one.seconds or 0 for one in measured)
        most = max(one.memory_bytes or 0 for one in measured)
        said = f"about {figures.duration(seconds)} one after another, {figures.size(most)} of memory at most"
        costs = [one.cost_usd for one in measured if one.cost_usd is not None]
        cost = f", {figures.dollars(sum(costs, Decimal(0)))}" if len(costs) == len(measured) else ""
        st.caption(plain(f"{len(measured)} of {len(trainings)} trainings: {said}{cost}"))
    with st.expander("Each training"):
        for one in trainings:
            st.caption(plain(f"{one.name}: {in_words(one)}"))


def in_words(one: Expected) -> str:
    if one.error is not None:
        return one.error
    if one.is_later:
        return "measured when its teacher has answered"
    if one.is_asked:
        return _asked(one)
    if one.seconds is None:
        return "not measured yet"
    return figures.training(one.seconds, one.memory_bytes, one.device, one.cost_usd, one.rows, one.validation_rows)


def _asked(one: Expected) -> str:
    if one.waits:
        return (
            "it is measured when another training or ingestion on the worker's machine has ended: one at a time is done"
        )
    if one.is_under_way:
        return "a worker measures it"
    return "a worker measures it when its run has ended. If no worker runs, start one: python -m ftvp_core worker"


def trainings(shown: Mapping[str, Training], planned: int) -> None:
    """The curve of the one under way; of several the finished ones are folded away."""
    finished = {name: one for name, one in shown.items() if one.is_finished}
    if planned > 1:
        st.caption(f"{len(finished)} of {planned} trainings are finished.")
    folded = finished if planned > 1 else {}
    for name, one in shown.items():
        if name not in folded:
            _curve(name, one)
    if folded:
        opened = st.expander("Finished trainings", key=state.FINISHED_TRAININGS, on_change="rerun")
        with opened:
            for name, one in folded.items() if opened.open else ():  # many curves every second are slow
                _curve(name, one)


def _curve(name: str, one: Training) -> None:
    """The losses so far, and in one line what there is to know beside them."""
    if one.expected_s is not None and not one.losses:
        st.caption(plain(f"{name}: {_expected(one)}"))
    if not one.losses:
        return
    st.markdown(f"**Loss of {plain(name)}**")
    chart = loss_chart(name, one)
    st.plotly_chart(chart.figure, alt=chart.alt, key=f"losses-{name}")
    said = [f"{one.rows:,} rows"]
    if one.validation_rows:
        best = f", the best at step {one.best_step:,}" if one.best_step is not None else ""
        said.append(f"{one.validation_rows:,} held out{best}")
    if one.tokens_per_s is not None:
        said.append(f"{figures.count(one.tokens_per_s)} tokens a second")
    if one.memory_bytes is not None:
        said.append(f"{figures.size(one.memory_bytes)} of memory at most")
    if one.expected_s is not None and not one.is_finished:
        said.append(_expected(one))
    st.caption(plain(f"{name}: {' · '.join(said)}"))


def _expected(one: Training) -> str:
    return f"measured beforehand: {figures.duration(one.expected_s)}, {figures.size(one.expected_bytes)}"


def loss_chart(name: str, one: Training) -> Chart:
    """The loss of each step (of long trainings the mean of a few), and of the rows held out."""
    colour, other = HUES["fine-tuned"][0], HUES["prompt"][0]
    shown, figure = _thinned(one.losses), go.Figure()
    figure.add_scatter(
        x=[step for step, _ in shown],
        y=[loss for _, loss in shown],
        mode="lines" if len(shown) > 1 else "markers",
        name="training",
        line={"color": colour, "width": 1.5},
        hovertemplate="step %{x}: %{y:.3g}<extra>training</extra>",
    )
    said = f"Training loss of {name}: {one.losses[0][1]:.3g} at first, {one.losses[-1][1]:.3g} now"
    if one.validation:
        figure.add_scatter(
            x=[step for step, _ in one.validation],
            y=[loss for _, loss in one.validation],
            mode="lines+markers",
            name="validation",
            line={"color": other, "width": 2, "dash": "dash"},
            marker={"symbol": "diamond", "size": 8},
            hovertemplate="step %{x}: %{y:.3g}<extra>validation</extra>",
        )
        said += f"; of the rows held out {one.validation[-1][1]:.3g} at step {one.validation[-1][0]:,}"
    figure.update_layout(height=260, margin={"l": 12, "r": 10, "t": 24, "b": 48}, dragmode=False, showlegend=True)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"})
    figure.update_xaxes(title="step", fixedrange=True)
    figure.update_yaxes(rangemode="tozero", fixedrange=True, automargin=True)
    return Chart(figure, f"{said}.")


def _thinned(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    together = -(-len(losses) // MOST_POINTS)
    stretches = (losses[at : at + together] for at in range(0, len(losses), together))
    return [(stretch[-1][0], sum(loss for _, loss in stretch) / len(stretch)) for stretch in stretches]
