"""A comparison's load curve: what each server's candidate does with more calls in flight, drawn and in figures."""

from html import escape

import plotly.graph_objects as go
import streamlit as st

from ftvp_core.report import figures
from ftvp_core.types import Comparison, LoadPoint
from ui.charts import Chart, looks
from ui.comparison import draw

_HEIGHT = 300


def under_load(comparison: Comparison) -> None:
    """Nothing where the run has no `run.load`."""
    import pandas as pd

    if not comparison.load:
        return
    st.header("Under load", anchor="load")
    left, right = st.columns(2, border=True)
    with left:
        st.markdown("**Latency by calls in flight** · p50 solid, p95 dotted")
        draw(chart(comparison), _HEIGHT)
    rows = [
        {
            "candidate": curve.candidate,
            "in flight": point.concurrency,
            "p50, s": point.latency_s and point.latency_s.p50,
            "p95, s": point.latency_s and point.latency_s.p95,
            "answers per s": point.per_s,
            "answered": point.n,
            "failed calls": point.failed,
        }
        for curve in comparison.load
        for point in curve.points
    ]
    two_digits = st.column_config.NumberColumn(format="%.2g")
    with right:
        st.markdown("**The same in figures** · no call from the cache, each level alone")
        st.dataframe(
            pd.DataFrame(rows),
            column_config={
                "p50, s": two_digits,
                "p95, s": two_digits,
                "answers per s": st.column_config.NumberColumn(format="%.3g"),
            },
            hide_index=True,
            height="content",
            placeholder="unknown",
            alt="Latency, throughput and failed calls of each candidate at each number of calls in flight.",
        )


def chart(comparison: Comparison) -> Chart:
    """A line a candidate and quantile over the calls in flight, on a logarithmic axis."""
    look, figure = looks(comparison.candidates), go.Figure()
    for curve in comparison.load:
        style = look[curve.candidate]
        for quantile, dash in (("p50", "solid"), ("p95", "dot")):
            drawn = [
                (point.concurrency, getattr(point.latency_s, quantile)) for point in curve.points if point.latency_s
            ]
            figure.add_scatter(
                x=[level for level, _ in drawn],
                y=[seconds for _, seconds in drawn],
                mode="lines+markers",
                name=f"{escape(curve.candidate)}",
                showlegend=quantile == "p50",
                line={"color": style.colour, "dash": dash, "width": 2},
                marker={"color": style.colour, "symbol": style.symbol, "size": 8},
                hovertemplate=f"{escape(curve.candidate)}, {quantile}: %{{y:.3g}} s at %{{x}} in flight<extra></extra>",
            )
    levels = sorted({point.concurrency for curve in comparison.load for point in curve.points})
    figure.update_xaxes(
        title="calls in flight", type="log", tickvals=levels, ticktext=[str(level) for level in levels], fixedrange=True
    )
    figure.update_yaxes(title="seconds", rangemode="tozero", fixedrange=True)
    figure.update_layout(
        margin={"l": 12, "r": 10, "t": 4, "b": 48},
        dragmode=False,
        legend={"orientation": "h", "y": 1.15, "title": None},
    )
    said = "; ".join(f"{curve.candidate}: {', '.join(map(_said, curve.points))}" for curve in comparison.load)
    return Chart(figure, f"Latency by calls in flight. {said}.")


def _said(point: LoadPoint) -> str:
    if point.latency_s is None:
        return f"{point.concurrency} in flight: nothing answered"
    return f"{point.concurrency} in flight: {figures.latency(point.latency_s, named=True)}"
