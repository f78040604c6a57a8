"""What tunings came to, as every page shows it: before and after, what was forgotten, and which adapter answered."""

from typing import Any

import pandas as pd
import streamlit as st

from ftvp_core.report import figures
from ftvp_core.types import BeforeAfter, Comparison, Measured


def before_after(comparison: Comparison) -> None:
    """One row a tuned candidate, then what isn't to be adopted, in these words."""
    if not comparison.tunes:
        return
    st.subheader("Before and after tuning", anchor="tuned")
    forgetting = next((one.forgetting_set for one in comparison.tunes if one.forgetting_set), None)
    rows: list[dict[str, Any]] = []
    for one in comparison.tunes:
        row = {
            "candidate": one.candidate,
            "base": one.base or "not among the candidates",
            "before, %": _percent(one.change and one.change.before),
            "after, %": _percent(one.change and one.change.after),
            "change, points": _points(one.change),
            "finding": f"{one.change.verdict}: {one.advice}" if one.change and one.advice else "nothing to compare",
        }
        if forgetting:
            row |= {
                "kept before, %": _percent(one.forgetting and one.forgetting.before),
                "kept after, %": _percent(one.forgetting and one.forgetting.after),
                "kept, points": _points(one.forgetting),
            }
        rows.append(
            row
            | {
                "trained rows": one.rows,
                "seconds": one.seconds,
                "device": one.device or "unknown",
                "best step": one.best_step,
                "adapter": (one.adapter or "")[:12],
            }
        )
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(
        pd.DataFrame(rows),
        column_config={
            "candidate": st.column_config.TextColumn(pinned=True),
            **dict.fromkeys((one for one in rows[0] if one.endswith((", %", ", points"))), right),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
        },
        hide_index=True,
        height="content",
        placeholder="unknown",
        alt="One row a tuned candidate: accuracy before and after, the paired difference, its adapter.",
    )
    kept = f" Kept: the same on {forgetting}, which may show what was forgotten." if forgetting else ""
    st.caption(f"Paired on the same examples, 95 % intervals; held-out rows only.{kept}", text_alignment="left")


def _percent(one: Measured | None) -> str | None:
    return f"{100 * one.value:.0f} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f})" if one else None


def _points(one: BeforeAfter | None) -> str | None:
    return figures.points(one.difference, one.interval) if one else None
