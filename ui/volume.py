"""What each candidate costs in a month, by how much is asked of it: the visitor moves the volume."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
import streamlit as st

from ftvp_core.decision.break_even import month_usd
from ftvp_core.report import figures
from ftvp_core.report.load import Report
from ftvp_core.report.relations import best_first
from ftvp_core.types import BreakEven, CandidateFigures, Comparison
from ui import state
from ui.charts import Chart, looks
from ui.comparison import draw
from ui.words import plain

HEIGHT_PX = 340
#: What the slider offers beside the comparison's own volume.
VOLUMES = tuple(step * 10**power for power in range(2, 9) for step in (1, 2, 5))


@st.fragment
def by_volume(report: Report) -> None:
    """Nothing where no candidate's cost is known."""
    priced = [one for one in best_first(report.comparison) if one.cost_per_1k_usd is not None]
    if not priced:
        return
    assumed = report.spec.decide.requests_per_month
    st.header("By volume", anchor="volume")
    requests: int = st.select_slider(
        "Requests a month",
        sorted({*VOLUMES, assumed}),
        assumed,
        format_func=figures.count,
        key=state.of_run(state.VOLUME, report.run.id),
        help="What if: the comparison and its verdict assume the volume of its file, and stay as they are",
    )
    left, right = st.columns(2, border=True)
    with left:
        st.markdown("**Cost of a month by requests** · training in the first")
        draw(chart(report.comparison, requests), HEIGHT_PX)
    with right:
        st.markdown(f"**At {figures.count(requests)} requests a month**")
        _table(priced, requests)
        for one in report.decision.break_even:
            if one.requests_per_month is not None:
                st.text(_pays(one, one.requests_per_month, requests))
    unknown = [one.name for one in report.comparison.candidates if one not in priced]
    if unknown:
        st.caption(plain(f"Not shown, cost unknown: {', '.join(unknown)}."))


def chart(comparison: Comparison, requests: int) -> Chart:
    """A line a candidate, from no requests to twice so many: where two cross, the dearer to train pays."""
    look, figure = looks(comparison.candidates), go.Figure()
    ends = (0, 2 * requests)
    said = []
    for one in comparison.candidates:
        usd = [month_usd(one, end) for end in (*ends, requests)]
        if None in usd:
            continue
        style = look[one.name]
        figure.add_scatter(
            x=ends,
            y=usd[:2],
            mode="lines",
            name=escape(one.name),
            line={"color": style.colour, "dash": style.dash, "width": 2},
            hovertemplate=f"{escape(one.name)}: $%{{y:,.2f}} at %{{x:,}} requests<extra></extra>",
        )
        figure.add_scatter(
            x=[requests],
            y=[usd[2]],
            mode="markers",
            showlegend=False,
            marker={"color": style.colour, "symbol": style.symbol, "size": 9},
            hovertemplate=f"{escape(one.name)}: {figures.dollars(usd[2])}<extra></extra>",
        )
        said.append(f"{one.name} {figures.dollars(usd[2])}")
    figure.update_xaxes(title="requests a month", rangemode="tozero", nticks=5, fixedrange=True)
    figure.update_yaxes(title="$ a month", rangemode="tozero", tickprefix="$", exponentformat="none", fixedrange=True)
    figure.update_layout(
        margin={"l": 12, "r": 10, "t": 4, "b": 48},
        dragmode=False,
        legend={"orientation": "h", "y": 1.15, "title": None},
    )
    return Chart(figure, f"Cost of a month at {figures.count(requests)} requests, training and all: {'; '.join(said)}.")


def _table(priced: Sequence[CandidateFigures], requests: int) -> None:
    """The cheapest first, with what is right beside what it costs."""
    import pandas as pd

    known = [(usd, one) for one in priced if (usd := month_usd(one, requests)) is not None]
    rows = [
        {
            "candidate": one.name,
            "accuracy": figures.accuracy(one),
            "a month": figures.dollars(usd),
            "of it training": figures.dollars(one.training_cost_usd) if one.training_cost_usd is not None else "",
        }
        for usd, one in sorted(known, key=lambda pair: pair[0])
    ]
    said = f"What each candidate costs in its first month at {figures.count(requests)} requests, the cheapest first."
    right = st.column_config.TextColumn(alignment="right")
    columns = dict.fromkeys(("accuracy", "a month", "of it training"), right)
    st.dataframe(pd.DataFrame(rows), column_config=columns, hide_index=True, height="content", alt=said)


def _pays(one: BreakEven, crossing: float, requests: int) -> str:
    pays = "pays" if requests >= crossing else "doesn't pay"
    return (
        f"{one.a} is cheaper than {one.b} from {figures.count(crossing)} requests in a month on;"
        f" at {figures.count(requests)} its training {pays} within the month."
    )
