"""The Decide page's parts: the verdict with its warnings above it, and the rules with their figures."""

import streamlit as st

from ftvp_core.decision.rules import MEANING
from ftvp_core.report import figures
from ftvp_core.report.distilled import sentences
from ftvp_core.report.load import Report
from ftvp_core.types import Decision
from ui import comparison
from ui.runs import state_line
from ui.words import plain


def verdict(report: Report) -> None:
    """Warnings first: they may be why the verdict is wrong."""
    chosen = report.decision.choose
    st.header(f"Choose {plain(chosen)}" if chosen else "Not decided", anchor=False)
    st.caption(state_line(report.run, len(report.eval_set.examples)))
    comparison.answer(report.comparison, report.decision, report.run.state)
    for one in report.comparison.distillations:
        st.text(" ".join(sentences(one, report.comparison)))


def reasons(decision: Decision) -> None:
    """Every rule of the thesis, the ones that fired first, each with the figures that made it."""
    st.subheader("Why")
    for rule in sorted(decision.rules, key=lambda one: not one.fired):
        with st.container(border=True):
            st.markdown(
                f"{':material/check:' if rule.fired else ':material/remove:'} **{MEANING[rule.id]}**"
                + ("" if rule.fired else " — not here")
            )
            st.text(rule.evidence)


def break_even(report: Report) -> None:
    """From which volume on training pays, beside the volume that the comparison assumes."""
    volumes = [one for one in report.decision.break_even if one.requests_per_month is not None]
    if not volumes:
        return
    st.subheader("Break-even", anchor=False)
    month = report.spec.decide.requests_per_month
    for one in volumes:
        pays = "pays" if month >= (one.requests_per_month or 0) else "doesn't pay"
        st.text(
            f"{one.a} is cheaper than {one.b} from {figures.count(one.requests_per_month)} requests in a month on;"
            f" at {figures.count(month)} its training {pays} within the month."
        )
