"""What tunings came to, as every page shows it: before and after, what was forgotten, and which adapter answered."""

from typing import Any

import pandas as pd
import streamlit as st

from ftvp_core.report import figures
from ftvp_core.types import BeforeAfter, Comparison, Measured, Tuned
from ui.words import plain

#: So much of an adapter's name tells it from others.
_ID_LENGTH = 12


def before_after(comparison: Comparison) -> None:
    """One row a tuned candidate, then what isn't to be adopted, in these words."""
    if not comparison.tunes:
        return
    st.header("Before and after tuning", anchor="tuned")
    forgetting = next((one.forgetting_set for one in comparison.tunes if one.forgetting_set), None)
    rows: list[dict[str, Any]] = []
    for one in comparison.tunes:
        row = {
            "candidate": one.candidate,
            "base": one.base or "not among the candidates",
            "before, %": _percent(one.change.before if one.change else None),
            "after, %": _percent(one.change.after if one.change else None),
            "change, points": _points(one.change),
            "finding": _finding(one),
        }
        if forgetting:
            row |= {
                "kept before, %": _percent(one.forgetting.before if one.forgetting else None),
                "kept after, %": _percent(one.forgetting.after if one.forgetting else None),
                "kept, points": _points(one.forgetting),
            }
        rows.append(row)
    _table(rows, "One row a tuned candidate: accuracy before and after, and the paired difference.")
    kept = f" Kept: the same on {forgetting}, which shows what was forgotten." if forgetting else ""
    st.caption(plain(f"Paired on the same examples, with 95 % intervals.{kept}"))
    adapters: list[dict[str, Any]] = [
        {
            "candidate": one.candidate,
            "adapter": (one.adapter or "")[:_ID_LENGTH],
            "trained rows": one.rows,
            "took": figures.duration(one.seconds) if one.seconds is not None else None,
            "device": one.device,
            "best step": one.best_step,
        }
        for one in comparison.tunes
    ]
    with st.expander("Which adapter answered, and how it was trained"):
        _table(adapters, "One row a tuned candidate: which adapter answered, and how it was trained.")


def _table(rows: list[dict[str, Any]], alt: str) -> None:
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "candidate": st.column_config.TextColumn(pinned=True),
            "trained rows": st.column_config.NumberColumn(format="localized"),
            **dict.fromkeys((one for one in rows[0] if one.endswith((", %", ", points"))), right),
        },
        hide_index=True,
        height="content",
        placeholder="unknown",
        alt=alt,
    )


def _finding(one: Tuned) -> str:
    if one.change is None or one.advice is None:
        return "nothing to compare"
    return one.advice if one.change.verdict == "better" else f"{one.change.verdict}; {one.advice}"


def _percent(one: Measured | None) -> str | None:
    return f"{100 * one.value:.0f} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f})" if one else None


def _points(one: BeforeAfter | None) -> str | None:
    return figures.points(one.difference, one.interval) if one else None
