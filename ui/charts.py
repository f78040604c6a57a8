"""Report figures to Plotly figures, each with the finding as its alt text. One colour a candidate, everywhere.

Colours come from Okabe and Ito's set and keep 3 : 1 against both themes' backgrounds; a symbol and a dash say
the same to who can't tell them apart. Text takes the theme's colour: none is set here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import plotly.graph_objects as go

from ftvp_core.report import figures
from ftvp_core.report.relations import Against, best_first, frontier
from ftvp_core.types import CandidateFigures, Comparison, Interval, Method

#: Methods share a hue; candidates of one method take turns between its two shades.
HUES: Mapping[Method, tuple[str, str]] = {
    "prompt": ("#0072b2", "#3f96d8"),
    "few-shot": ("#00808f", "#0f9fae"),
    "rag": ("#00845f", "#009e73"),
    "fine-tuned": ("#c8500a", "#e0701f"),
    "fine-tuned+rag": ("#a8508a", "#cc79a7"),
    "floor": ("#6b7680", "#87929c"),
    "recorded": ("#8a6d00", "#a98600"),
}
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "pentagon")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
#: Rules and the frontier: quiet on either background.
_QUIET = "#87929c"
_NAME_LENGTH = 24
_ROW_PX = 38
#: Of 100 %: a name is written inwards of a point that is nearer to an end than this.
_EDGE = 12
_LEGEND_PX = 20
#: A log axis from this ratio of the slowest to the fastest on.
_WIDE = 20.0


class Chart(NamedTuple):
    figure: go.Figure
    alt: str


@dataclass(frozen=True, slots=True)
class Look:
    colour: str
    symbol: str
    dash: str


class Share(NamedTuple):
    """A share of right answers to draw beside others."""

    name: str
    method: Method
    value: float
    interval: Interval


def looks(candidates: Sequence[CandidateFigures | Share]) -> dict[str, Look]:
    """By candidate, in the file's order: the same in every chart and whatever is sorted how."""
    seen: dict[Method, int] = {}
    found = {}
    for at, one in enumerate(candidates):
        turn = seen[one.method] = seen.get(one.method, -1) + 1
        shades = HUES[one.method]
        found[one.name] = Look(shades[turn % len(shades)], _SYMBOLS[at % len(_SYMBOLS)], _DASHES[at % len(_DASHES)])
    return found


def accuracy(comparison: Comparison) -> Chart:
    """Dots with their 95 % intervals, the best on top."""
    ranked = best_first(comparison)
    look, figure = looks(comparison.candidates), go.Figure()
    for one in ranked:
        if one.accuracy is None or one.interval is None:
            _unknown(figure, one.name)
            continue
        _dot(figure, Share(one.name, one.method, one.accuracy, one.interval), look[one.name])
    _rows(figure, {one.name: "nothing graded yet" if one.accuracy is None else figures.accuracy(one) for one in ranked})
    figure.update_xaxes(title="right answers, %, with 95 % interval", range=_percent_range(ranked), nticks=6)
    said = "; ".join(f"{one.name} {figures.accuracy(one)}" for one in ranked)
    return Chart(figure, f"Accuracy with 95 % intervals, best first: {said}.")


def shares(shown: Sequence[Share], chance: float | None) -> Chart:
    """Dots with their intervals in the order given, and what a guess would get."""
    look, figure = looks(shown), go.Figure()
    for one in shown:
        _dot(figure, one, look[one.name])
    _rows(figure, {one.name: figures.with_interval(one.value, one.interval) for one in shown})
    figure.update_xaxes(title="right answers, %", range=[-2, 102], nticks=6)
    if chance is not None:
        figure.add_vline(
            x=100 * chance, line={"color": _QUIET, "width": 1.5, "dash": "dot"}, annotation_text="chance",
            annotation_position="bottom right",
        )  # fmt: skip
    said = "; ".join(f"{one.name} {figures.with_interval(one.value, one.interval)}" for one in shown)
    guess = f" Chance is {figures.percent(chance)}." if chance is not None else ""
    return Chart(figure, f"Right answers with 95 % intervals: {said}.{guess}")


def latency(comparison: Comparison, quantiles: Mapping[str, Sequence[float]]) -> Chart:
    """Share of answers within a time, median and 95th percentile marked. `quantiles`: sorted, a few hundred at most."""
    look, figure = looks(comparison.candidates), go.Figure()
    timed = [one for one in comparison.candidates if one.latency_s is not None and quantiles.get(one.name)]
    for one in timed:
        assert one.latency_s is not None
        times, style = list(quantiles[one.name]), look[one.name]
        shares = [100 * (at + 1) / len(times) for at in range(len(times))]
        figure.add_scatter(
            x=times,
            y=shares,
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2, "shape": "hv"},
            hovertemplate=f"{escape(one.name)}: %{{y:.0f}} % within %{{x:.3g}} s<extra></extra>",
            showlegend=False,
        )
        figure.add_scatter(
            x=[one.latency_s.p50, one.latency_s.p95],
            y=[50, 95],
            mode="lines+markers",
            name=f"{_label(one.name)}: {figures.latency(one.latency_s)}",
            line={"color": style.colour, "dash": style.dash, "width": 0.001},
            marker=_marker(style, 10),
            hovertemplate=f"{escape(one.name)}: %{{y}} % within %{{x:.3g}} s<extra></extra>",
        )
    for share in (50, 95):
        figure.add_hline(y=share, line={"color": _QUIET, "width": 1, "dash": "dot"}, opacity=0.6)
    figure.update_yaxes(range=[0, 101], tickvals=[0, 25, 50, 75, 95], ticktext=["0 %", "25 %", "50 %", "75 %", "95 %"])
    spread = [time for one in timed for time in (quantiles[one.name][0], quantiles[one.name][-1]) if time > 0]
    wide = bool(spread) and max(spread) > _WIDE * min(spread)
    _axis_of_seconds(figure, wide, max(spread, default=1.0))
    missing = {
        one.name: "not measured (batch)" if one.batch else "unknown"
        for one in comparison.candidates
        if one not in timed
    }
    for name, why in missing.items():
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"{_label(name)}: {why}", marker=_marker(look[name], 10)
        )
    _height(figure, len(comparison.candidates), legend=len(comparison.candidates) if timed else 0)
    if not timed:
        only_batches = all(one.batch for one in comparison.candidates)
        _nothing(figure, "Not measured: a batch has no latency." if only_batches else "No latency was recorded.")
    said = [f"{one.name} {figures.latency(one.latency_s, named=True)}" for one in timed if one.latency_s]
    return Chart(figure, f"Latency: {'; '.join((*said, *(f'{name} {why}' for name, why in missing.items())))}.")


def cost(comparison: Comparison) -> Chart:
    """What 1,000 answers cost: bars from zero. An unknown cost has no bar, and says so."""
    look, figure = looks(comparison.candidates), go.Figure()
    dearest_first = sorted(comparison.candidates, key=lambda one: (one.cost_per_1k_usd is None, one.cost_per_1k_usd))
    said: dict[str, str] = {}
    for one in dearest_first:
        said[one.name] = _dollars(one)
        if one.cost_per_1k_usd is None:
            _unknown(figure, one.name)
            continue
        figure.add_bar(
            x=[float(one.cost_per_1k_usd)],
            y=[_label(one.name)],
            orientation="h",
            width=0.22,
            marker={"color": look[one.name].colour},
            hovertemplate=f"{escape(one.name)}: {figures.dollars(one.cost_per_1k_usd)} per 1,000<extra></extra>",
        )
        if one.training_cost_usd is not None:
            said[one.name] += f" + {figures.dollars(one.training_cost_usd)} once"
    _rows(figure, said)
    figure.update_xaxes(
        title="$ per 1,000 answers", rangemode="tozero", tickprefix="$", nticks=4, exponentformat="none"
    )
    if all(one.cost_per_1k_usd is None for one in dearest_first):
        figure.update_xaxes(range=[0, 1], showticklabels=False)
    return Chart(
        figure, f"Cost per 1,000 answers, cheapest first: {'; '.join(f'{name} {cost}' for name, cost in said.items())}."
    )


def accuracy_against_cost(comparison: Comparison) -> Chart:
    """Points with the accuracy's interval; the line joins those that nothing beats on both."""
    look, figure = looks(comparison.candidates), go.Figure()
    best = frontier(comparison)
    priced = [one for one in comparison.candidates if one.cost_per_1k_usd is not None and one.accuracy is not None]
    figure.add_scatter(
        x=[float(one.cost_per_1k_usd or 0) for one in best],
        y=[100 * (one.accuracy or 0) for one in best],
        mode="lines",
        line={"color": _QUIET, "width": 1.5, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    costs = [float(one.cost_per_1k_usd or 0) for one in priced]
    for at, one in enumerate(sorted(priced, key=lambda each: each.cost_per_1k_usd or 0)):
        assert one.interval is not None and one.accuracy is not None
        percent, x = 100 * one.accuracy, float(one.cost_per_1k_usd or 0)
        # Neighbours take turns above and below, so that their names keep out of each other's way; at an edge, inwards.
        above = percent < _EDGE or (at % 2 == 0 and percent < 100 - _EDGE)
        side = "left" if x > 0.55 * max(costs) and len(costs) > 1 else "right"
        figure.add_scatter(
            x=[x],
            y=[percent],
            mode="markers+text",
            text=[f"{_label(one.name)}&nbsp;&nbsp;" if side == "left" else f"&nbsp;&nbsp;{_label(one.name)}"],
            textposition=f"{'top' if above else 'bottom'} {side}",
            marker=_marker(look[one.name], 11),
            error_y=_bars([100 * one.interval.high - percent], [percent - 100 * one.interval.low], look[one.name]),
            hovertemplate=f"{escape(one.name)}: {figures.accuracy(one)} at {_dollars(one)} per 1,000<extra></extra>",
            cliponaxis=False,
        )
    figure.update_xaxes(title="$ per 1,000 answers", tickprefix="$", nticks=5, exponentformat="none")
    figure.update_xaxes(range=[0, 1.15 * max(costs, default=1.0) or 1])
    figure.update_yaxes(title="right answers, %", range=_percent_range(priced))
    _height(figure, len(comparison.candidates))
    if not priced:
        _nothing(figure, "No candidate has both a known cost and an accuracy yet.")
    missing = [one.name for one in comparison.candidates if one not in priced]
    efficient = ", ".join(f"{one.name} ({figures.percent(one.accuracy)}, {_dollars(one)})" for one in best) or "none"
    said = f"Accuracy against cost; on the efficient frontier: {efficient}."
    return Chart(figure, said + (f" Not drawn, cost or accuracy unknown: {', '.join(missing)}." if missing else ""))


def differences(comparison: Comparison, baseline: str, found: Mapping[str, Against]) -> Chart:
    """Points above the baseline with 95 % intervals. What crosses zero isn't told apart from it."""
    look, figure = looks(comparison.candidates), go.Figure()
    ranked = [one for one in best_first(comparison) if one.name in found]
    for one in ranked:
        pair = found[one.name]
        points = 100 * pair.difference
        style = look[one.name]
        figure.add_scatter(
            x=[points],
            y=[_label(one.name)],
            mode="markers",
            marker=_marker(style, 11),
            error_x=_bars([100 * pair.interval.high - points], [points - 100 * pair.interval.low], style),
            hovertemplate=f"{escape(one.name)}: {figures.points(pair.difference, pair.interval)}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": _QUIET, "width": 1.5})
    _rows(figure, {one.name: found[one.name].verdict for one in ranked})
    bounds = [0.0, *(100 * end for pair in found.values() for end in (pair.interval.low, pair.interval.high))]
    room = 0.12 * (max(bounds) - min(bounds)) or 1.0
    figure.update_xaxes(title="points above (right) or below (left), with 95 % interval", zeroline=False)
    figure.update_xaxes(range=[min(bounds) - room, max(bounds) + room])
    if not ranked:
        _nothing(figure, "Nothing to compare yet.")
    said = "; ".join(
        f"{one.name} {figures.points(found[one.name].difference, found[one.name].interval)}, {found[one.name].verdict}"
        for one in ranked
    )
    return Chart(figure, f"Difference from {baseline} in points: {said or 'nothing to compare yet'}.")


def _dot(figure: go.Figure, one: Share, look: Look) -> None:
    """A share of right answers with its interval, in its row."""
    percent, said = 100 * one.value, figures.with_interval(one.value, one.interval)
    figure.add_scatter(
        x=[percent],
        y=[_label(one.name)],
        mode="markers",
        marker=_marker(look, 11),
        error_x=_bars([100 * one.interval.high - percent], [percent - 100 * one.interval.low], look),
        hovertemplate=f"{escape(one.name)}: {said}<extra></extra>",
    )


def _marker(look: Look, size: int) -> dict[str, Any]:
    return {"color": look.colour, "symbol": look.symbol, "size": size}


def _bars(above: list[float], below: list[float], look: Look) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": above, "arrayminus": below,
        "color": look.colour, "thickness": 2, "width": 5,
    }  # fmt: skip


def _rows(figure: go.Figure, said: Mapping[str, str]) -> None:
    """A row a candidate, the first on top. On the line above its mark stand its name and, at the right, what is `said`
    of it: both keep their room at any width.
    """
    labels = [_label(name) for name in said]
    figure.update_yaxes(
        categoryorder="array", categoryarray=labels[::-1], range=[-0.6, len(labels) - 0.25], showticklabels=False,
        showgrid=False, zeroline=False,
    )  # fmt: skip
    written = [
        {"x": x, "xanchor": anchor, "y": row, "text": text}
        for row, right in zip(labels, said.values(), strict=True)
        for x, anchor, text in ((0, "left", row), (1, "right", right))
    ]
    above = {"xref": "paper", "yanchor": "bottom", "yshift": 9, "showarrow": False}
    figure.update_layout(annotations=[{**one, **above} for one in written])  # at once: one by one Plotly copies all
    _height(figure, len(labels))


def _unknown(figure: go.Figure, name: str) -> None:
    """A candidate without the figure keeps its row; nothing is drawn for it."""
    figure.add_scatter(x=[None], y=[_label(name)], mode="markers", hoverinfo="skip")


def _nothing(figure: go.Figure, text: str) -> None:
    """No axes without data: a sentence in their place."""
    figure.data, figure.layout.shapes, figure.layout.annotations = (), (), ()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(x=0.5, y=0.5, xref="paper", yref="paper", text=text, showarrow=False)


def _height(figure: go.Figure, rows: int, legend: int = 0) -> None:
    figure.update_layout(
        height=max(230, 70 + _ROW_PX * rows, 200 + _LEGEND_PX * legend),
        margin={"l": 12, "r": 10, "t": 4, "b": 48 + _LEGEND_PX * legend},
        showlegend=legend > 0,
        legend={"yref": "container", "yanchor": "bottom", "y": 0, "x": 0, "title": None, "itemclick": False},
        hoverlabel={"align": "left"},
        dragmode=False,
    )
    figure.update_xaxes(fixedrange=True, title_standoff=6)
    figure.update_yaxes(automargin=True, fixedrange=True)


def _axis_of_seconds(figure: go.Figure, wide: bool, most: float) -> None:
    if wide:
        figure.update_xaxes(type="log", title="seconds, log scale", dtick=1, tickformat=".4~g")
    else:
        figure.update_xaxes(title="seconds", range=[0, 1.05 * most], nticks=6)


def _percent_range(candidates: Sequence[CandidateFigures]) -> list[float]:
    """All intervals with a margin, in tens; never beyond 0 and 100 by more than a mark's width."""
    lows = [100 * one.interval.low for one in candidates if one.interval]
    highs = [100 * one.interval.high for one in candidates if one.interval]
    if not lows:
        return [0, 100]
    return [max(-2, 10 * ((min(lows) - 5) // 10)), min(102, 10 * ((max(highs) + 14) // 10))]


def _label(name: str) -> str:
    """Plotly reads some tags in text: none of a name's are tags."""
    return escape(name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…")


def _dollars(one: CandidateFigures) -> str:
    return "unknown" if one.cost_per_1k_usd is None else figures.dollars(one.cost_per_1k_usd)
