"""Sweeps on Compare: what each value brings, the fitted learning curve, and the floor on as many rows."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
import streamlit as st

from ftvp_core.report import figures
from ftvp_core.report.curves import curve_findings
from ftvp_core.types import CandidateFigures, Comparison, Curve, LearningFit
from ui.charts import Chart, Look, looks
from ui.comparison import draw
from ui.words import plain

HEIGHT_PX = 340
#: A log axis from this ratio of the largest to the smallest value on.
WIDE = 4.0
#: What is swept, as people say it.
AXES = {
    "tune.examples": "training rows",
    "train.rows": "training rows",
    "tune.rank": "LoRA rank",
    "tune.learning_rate": "learning rate",
    "tune.epochs": "epochs",
    "shots.k": "shots",
    "retrieval.top_k": "passages",
}


def curves(comparison: Comparison) -> None:
    """A chart a sweep, with its findings below; a floor's rows stand in the charts of those that it is held against."""
    shown = [one for one in comparison.curves if any(point.figures.accuracy is not None for point in one.points)]
    if not shown:
        return
    st.header("Curves", anchor="curves")
    beside = {floor.floor for one in shown for floor in one.beside_floor}
    for curve in shown:
        if curve.over == "train.rows" and curve.candidate in beside:
            continue
        floors = [
            one for one in shown if one.over == "train.rows" and one.candidate in {f.floor for f in curve.beside_floor}
        ]
        with st.container(border=True):
            st.markdown(f"**{plain(curve.candidate)}** by {plain(axis(curve.over))}")
            draw(chart(curve, floors, comparison.candidates), HEIGHT_PX)
            for sentence in curve_findings(curve):
                st.text(sentence)


def axis(over: str) -> str:
    return AXES.get(over, over)


def chart(curve: Curve, floors: Sequence[Curve], candidates: Sequence[CandidateFigures]) -> Chart:
    """Accuracy by value with 95 % intervals, each seed's as a small mark; the fit dashed beyond what was tried."""
    look, figure = looks(candidates), go.Figure()
    for one in floors:
        _points(figure, one, look[one.candidate], joined=True)
    if curve.fit is not None and curve.fit.band:
        _fit(figure, curve, curve.fit, look[curve.candidate])
    _points(figure, curve, look[curve.candidate], joined=curve.fit is None or not curve.fit.band)
    values = [point.value for point in curve.points]
    wide = min(values) > 0 and max(values) >= WIDE * min(values)
    title = axis(curve.over)
    ticks = (
        [*values, *(curve.fit.band[-1].rows * share for share in (0.2, 1.0))]
        if curve.fit and curve.fit.band
        else values
    )
    figure.update_xaxes(tickvals=ticks, ticktext=[f"{one:,.6g}" for one in ticks])
    figure.update_xaxes(**({"type": "log", "title": f"{title}, log scale"} if wide else {"title": title}))
    figure.update_yaxes(title="right answers, %", range=[-2, 102], fixedrange=True)
    figure.update_xaxes(fixedrange=True, title_standoff=6)
    figure.update_layout(
        margin={"l": 12, "r": 10, "t": 4, "b": 76}, dragmode=False, showlegend=True,
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0, "itemclick": False},
    )  # fmt: skip
    said = "; ".join(f"{point.value:g}: {figures.accuracy(point.figures)}" for point in curve.points)
    return Chart(figure, f"{curve.candidate} by {title}: {said}. {' '.join(curve_findings(curve))}")


def _points(figure: go.Figure, curve: Curve, look: Look, *, joined: bool) -> None:
    known = [point for point in curve.points if point.figures.accuracy is not None and point.figures.interval]
    percents = [100 * (point.figures.accuracy or 0.0) for point in known]
    intervals = [point.figures.interval for point in known if point.figures.interval]
    figure.add_scatter(
        x=[point.value for point in known], y=percents, mode="lines+markers" if joined else "markers",
        name=escape(curve.candidate), line={"color": look.colour, "dash": look.dash, "width": 1.5},
        marker={"color": look.colour, "symbol": look.symbol, "size": 11},
        error_y={
            "type": "data", "symmetric": False, "color": look.colour, "thickness": 2, "width": 5,
            "array": [100 * one.high - percent for one, percent in zip(intervals, percents, strict=True)],
            "arrayminus": [percent - 100 * one.low for one, percent in zip(intervals, percents, strict=True)],
        },
        hovertemplate=f"{escape(curve.candidate)}: %{{y:.1f}} % at %{{x:,}}<extra></extra>",
    )  # fmt: skip
    seeds = [(point.value, 100 * one) for point in known for one in point.by_seed if one is not None]
    if seeds:
        figure.add_scatter(
            x=[value for value, _ in seeds], y=[percent for _, percent in seeds], mode="markers",
            name=f"{escape(curve.candidate)}, each seed", marker={"color": look.colour, "symbol": "line-ew-open", "size": 12},
            hovertemplate="one seed: %{y:.1f} % at %{x:,}<extra></extra>",
        )  # fmt: skip


def _fit(figure: go.Figure, curve: Curve, fit: LearningFit, look: Look) -> None:
    """The band, then the line: solid where rows were tried, dashed beyond them."""
    tried = max(point.value for point in curve.points)
    band, name = fit.band, escape(curve.candidate)
    figure.add_scatter(
        x=[one.rows for one in (*band, *band[::-1])],
        y=[*(100 * one.high for one in band), *(100 * one.low for one in band[::-1])],
        mode="lines", fill="toself", line={"width": 0, "color": look.colour}, opacity=0.25,
        name="fit, 95 % interval", hoverinfo="skip",
    )  # fmt: skip
    for part, dash in (
        ([one for one in band if one.rows <= tried], "solid"),
        ([one for one in band if one.rows >= tried], "dash"),
    ):
        figure.add_scatter(
            x=[one.rows for one in part], y=[100 * one.value for one in part], mode="lines",
            line={"color": look.colour, "dash": dash, "width": 2}, showlegend=dash == "dash",
            name=f"{name}: beyond what was tried", hovertemplate="fit: %{y:.1f} % at %{x:,.0f}<extra></extra>",
        )  # fmt: skip
