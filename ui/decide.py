"""The Decide page's parts: the verdict with its warnings above it, and the rules with their figures."""

import streamlit as st

from ftvp_core.decision.rules import MEANING
from ftvp_core.report.load import Report
from ftvp_core.report.sentence import summary
from ftvp_core.types import Decision


def verdict(report: Report) -> None:
    """Warnings first: they may be why the verdict is wrong."""
    for warning in report.decision.warnings:
        st.warning(warning.message)
    chosen = report.decision.choose
    st.header(f"Choose {chosen}" if chosen else "Not decided", anchor=False)
    for sentence in summary(report.comparison, report.decision):
        st.text(sentence)


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
