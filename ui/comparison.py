"""A comparison's parts as every page shows them: from figures alone, so that a shared link can use them too."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ftvp_core.decision.rules import MEANING
from ftvp_core.report import figures
from ftvp_core.report.relations import against, baseline, best_first, failures, not_run, notes, warnings
from ftvp_core.report.sentence import slice_finding, summary
from ftvp_core.report.share import thinned
from ftvp_core.types import CandidateFigures, Comparison, Decision
from ui import charts
from ui.charts import Chart
from ui.words import plain

_PLOT = {"displayModeBar": False, "responsive": True}


def answer(comparison: Comparison, decision: Decision, run_state: str) -> None:
    """What may turn the verdict, the sentences that say what can be concluded, and what else is good to know."""
    found = warnings(decision, run_state)
    if found:
        with st.container(border=True, key="warnings", gap="xsmall"):
            for one in found:
                st.text(one.message)
    with st.container(key="answer", gap="small"):
        for sentence in summary(comparison, decision):
            st.text(sentence)
    if told := notes(decision):
        with st.expander(f"Good to know ({len(told)})"):
            for one in told:
                st.text(one.message)


def evidence(comparison: Comparison, latencies_s: Mapping[str, Sequence[float]]) -> None:
    """Three charts side by side: how often right, how long, how dear."""
    quantiles = {name: thinned(list(values)) for name, values in latencies_s.items()}
    shown = {
        "Accuracy": charts.accuracy(comparison),
        "Latency": charts.latency(comparison, quantiles),
        "Cost per 1,000": charts.cost(comparison),
    }
    height = level(*shown.values())
    for column, (title, chart) in zip(st.columns(len(shown), border=True), shown.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            draw(chart, height)


@st.fragment
def standing(comparison: Comparison, decision: Decision, key: str) -> None:
    """Accuracy against cost, the differences from a baseline that the visitor chooses, and the table beside it.

    Another baseline draws this part again, and no other.
    """
    names = [one.name for one in comparison.candidates]
    left, right = st.columns(2, border=True)
    with right, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Difference from**", width="content")
        start = names.index(baseline(comparison, decision))
        chosen: str = st.selectbox("Baseline", names, index=start, key=key, label_visibility="collapsed", width=240)
    against_cost = charts.accuracy_against_cost(comparison)
    differences = charts.differences(comparison, chosen, against(comparison, chosen))
    height = level(against_cost, differences)
    with left:
        with st.container(height=40, border=False, vertical_alignment="center"):
            st.markdown("**Accuracy against cost**")
        draw(against_cost, height)
    with right:
        draw(differences, height)
        if len(comparison.pairs) > 1:
            st.caption(f"Intervals: 95 % each. Verdicts: adjusted for all {len(comparison.pairs)} pairs (Holm).")
    _table(comparison, chosen)


def _table(comparison: Comparison, against_name: str) -> None:
    """One row a candidate, the best first; units stand in the header, an unknown figure says so."""
    import pandas as pd

    found = against(comparison, against_name)
    column = st.column_config
    repeated = any(one.spread for one in comparison.candidates)
    to_come = any(not_run(one) for one in comparison.candidates)
    with_schema = [one for one in comparison.candidates if one.valid_output is not None]
    shown: dict[str, tuple[Any, Any]] = {
        "candidate": (lambda one: one.name, column.TextColumn(pinned=True, width="medium")),
        "method": (lambda one: one.method, column.TextColumn(width="small")),
        "accuracy, %": (lambda one: _times(100, one.accuracy), column.NumberColumn(format="%.1f")),
        "95 % interval": (_range, column.TextColumn(alignment="right")),
        **({"over the repeats": (_spread, column.TextColumn(alignment="right"))} if repeated else {}),
        f"against {against_name}, points": (
            lambda one: (
                figures.points(found[one.name].difference, found[one.name].interval)
                if one.name in found
                else "baseline"
                if one.name == against_name
                else None
            ),
            column.TextColumn(alignment="right"),
        ),
        **({"valid output, %": (_valid, column.TextColumn(alignment="right"))} if with_schema else {}),
        **({"not run": (not_run, column.NumberColumn(format="%d"))} if to_come else {}),
        "p50, s": (lambda one: one.latency_s and one.latency_s.p50, column.NumberColumn(format="%.2g", width=90)),
        "p95, s": (lambda one: one.latency_s and one.latency_s.p95, column.NumberColumn(format="%.2g", width=90)),
        "tokens in": (lambda one: one.tokens.input, column.NumberColumn(format="localized")),
        "tokens out": (lambda one: one.tokens.output, column.NumberColumn(format="localized")),
        "$ per 1,000": (lambda one: _times(1, one.cost_per_1k_usd), column.NumberColumn(format="%.2g")),
        "failed": (lambda one: one.n_failed - not_run(one), column.NumberColumn(format="%d")),
        "ungraded": (lambda one: one.n_ungraded, column.NumberColumn(format="%d")),
    }
    ranked = best_first(comparison)
    rows = [{name: get(one) for name, (get, _) in shown.items()} for one in ranked]
    st.dataframe(
        pd.DataFrame(rows, columns=list(shown)),
        column_config={name: config for name, (_, config) in shown.items()},
        hide_index=True,
        height="content",
        placeholder="unknown",
        alt="One row a candidate: accuracy, latency, tokens, cost, failed and ungraded rows. The CSV holds the same.",
    )
    if untimed := [one.name for one in ranked if one.batch and one.latency_s is None]:
        st.caption(plain(f"Latency not measured (batch, at half price): {', '.join(untimed)}."))
    _failures(ranked)
    for one in with_schema:
        if one.valid_output and one.valid_output.modes:
            st.caption(plain(f"{one.name}: JSON mode {figures.json_mode(one.valid_output.modes)}"))


def slices(comparison: Comparison) -> None:
    """Accuracy by tag, a row a tag and a column a candidate."""
    import pandas as pd

    if not comparison.slices or all(one.accuracy is None for one in comparison.candidates):
        return
    st.header("By tag", anchor="tags")
    # Columns by number: a candidate may be called `tag`.
    places = {f"{at}": one.name for at, one in enumerate(comparison.candidates)}
    rows = [
        {"tag": one.tag, "examples": max(each.n for each in one.candidates), "shown better": slice_finding(one)}
        | {place: figures.accuracy(each) for place, each in zip(places, one.candidates, strict=True)}
        for one in comparison.slices
    ]
    config = {place: st.column_config.TextColumn(name, alignment="right") for place, name in places.items()}
    frame = pd.DataFrame(rows, columns=["tag", "examples", "shown better", *places])
    st.dataframe(frame, column_config=config, hide_index=True, height="content", alt="Accuracy with interval by tag.")


def rules(decision: Decision) -> None:
    """Each rule of the decision: whether it fired, and the figures that made it."""
    with st.expander("How this was decided"):
        for rule in decision.rules:
            with st.container(horizontal=True, gap="small"):
                state = "holds" if rule.fired else "doesn't hold" if rule.applies else "not tried"
                st.badge(state, color="green" if rule.fired else "gray")
                st.markdown(f"**{MEANING[rule.id]}**", width="content")
                st.text(rule.evidence)


def level(*shown: Chart) -> int:
    """The height of the tallest: what stands side by side is as tall."""
    return max(int(chart.figure.layout.height) for chart in shown)


def draw(chart: Chart, height: int) -> None:
    chart.figure.update_layout(height=height)
    st.plotly_chart(chart.figure, alt=chart.alt, config=_PLOT)


def _failures(ranked: Sequence[CandidateFigures]) -> None:
    for one in ranked:
        for cause, count in failures(one).items():
            st.text(f"{one.name}: {count:,} of {one.n:,} rows failed: {cause}")


def _spread(one: CandidateFigures) -> str | None:
    return figures.spread(one.spread)


def _times(factor: float, value: Any) -> float | None:
    return None if value is None else factor * float(value)


def _valid(one: CandidateFigures) -> str:
    return figures.valid_output(one).replace(" %", "")


def _range(one: CandidateFigures) -> str | None:
    return f"{100 * one.interval.low:.1f}–{100 * one.interval.high:.1f}" if one.interval else None
