"""The Decide page's parts: the verdict with its warnings above it, and the rules with their figures."""

import streamlit as st

from ftvp_core.decision.rules import MEANING
from ftvp_core.report.distilled import sentences
from ftvp_core.report.load import Report
from ftvp_core.types import Decision
from ui import comparison
from ui.runs import state_line
from ui.words import plain

#: How one of several candidates is chosen, for who wonders why it isn't the one that is most often right.
HOW = (
    "Chosen is what takes the least to build and keep, and of that the cheapest. Another takes its place only where it"
    " is shown to be right more often, or as often at half the cost or time."
)


def verdict(report: Report) -> None:
    """Warnings first: they may be why the verdict is wrong."""
    chosen = report.decision.choose
    st.title(f"Choose {plain(chosen)}" if chosen else "Not decided", anchor=False)
    st.caption(f"{plain(report.run.name)} · {state_line(report.run, len(report.eval_set.examples))}")
    comparison.answer(report.comparison, report.decision, report.run.state)
    for one in report.comparison.distillations:
        st.text(" ".join(sentences(one, report.comparison)))


def reasons(decision: Decision) -> None:
    """Every rule of the thesis, the ones that fired first, each with the figures that made it."""
    st.header("Why", anchor=False)
    st.caption(HOW)
    tried = [rule for rule in decision.rules if rule.applies]
    for rule in sorted(tried, key=lambda one: not one.fired):
        with st.container(border=True, gap="xsmall"):
            sign, said = (":material/check:", "holds") if rule.fired else (":material/remove:", "doesn't hold here")
            st.markdown(f"{sign} **{MEANING[rule.id]}** — {said}")
            st.text(rule.evidence)
    if missing := [rule for rule in decision.rules if not rule.applies]:
        with st.expander(f"Not tried ({len(missing)})"):
            for rule in missing:
                st.markdown(f"{MEANING[rule.id]} — {plain(rule.evidence)}")
