"""Curves in words: whether more rows would help, whether the floor wins, and what choosing a point is worth."""

from ftvp_core.report import figures
from ftvp_core.types import BesideFloor, Comparison, Curve, LearningFit


def curve_findings(curve: Curve) -> tuple[str, ...]:
    """What a curve shows, in sentences."""
    found = [_more_rows(curve, curve.fit)] if curve.fit is not None else []
    floors = dict.fromkeys(one.floor for one in curve.beside_floor)
    found += [_floor(curve, [one for one in curve.beside_floor if one.floor == name]) for name in floors]
    return (*found, *_chosen(curve))


def all_findings(comparison: Comparison) -> tuple[str, ...]:
    return tuple(said for curve in comparison.curves for said in curve_findings(curve))


def _more_rows(curve: Curve, fit: LearningFit) -> str:
    name, most = curve.candidate, figures.count(max(point.value for point in curve.points))
    if fit.verdict == "too few points":
        return f"{name}: too few points to tell whether more rows would help; four numbers of rows are needed."
    if fit.off is not None:
        return (
            f"{name}: whether more rows would help isn't decided. The sizes lie up to {100 * fit.off:.0f} points off the"
            f" best power law: the curve leaps, or single trainings were lucky; try more sizes, and several seeds."
        )
    gain = fit.gain_of_twice
    assert gain is not None
    twice = f"twice as many rows bring {figures.ends(gain)} points"
    if fit.verdict == "flattened":
        return f"{name}: it has flattened. At {most} rows, {twice}.{_alone(fit)}"
    if fit.more_rows is None:
        return (
            f"{name}: whether more rows would help isn't decided. Two points more lie beyond ten times the {most} rows"
            f" that were tried, if they come at all; {twice}.{_alone(fit)}"
        )
    low = figures.count(fit.more_rows_low) if fit.more_rows_low is not None else ""
    interval = f"{low}–{figures.count(fit.more_rows_high)}" if fit.more_rows_high is not None else f"{low} or more"
    sure = "" if fit.verdict == "rises" else ", but that isn't decided"
    return f"{name}: about {figures.count(fit.more_rows)} more rows for +2 points ({interval}){sure}.{_alone(fit)}"


def _alone(fit: LearningFit) -> str:
    """What the interval doesn't hold."""
    return "" if fit.trainings > 1 else " One training a size: how trainings differ isn't in the interval."


def _floor(curve: Curve, beside: list[BesideFloor]) -> str:
    """At the most rows that both have, and at how many of all sizes the floor is shown better."""
    last = max(beside, key=lambda one: one.value)
    said = f"{figures.points(last.difference, last.interval)} points at {figures.count(last.value)} rows"
    wins = sum(one.verdict == "worse" for one in beside)
    if wins == len(beside):
        return f"The floor wins at every number of rows: {curve.candidate} against {last.floor}, {said}."
    if last.verdict == "worse":
        return f"The floor wins at the most rows: {curve.candidate} against {last.floor}, {said}."
    if last.verdict == "better":
        fewer = f"; the floor wins at {wins} of {len(beside)} sizes below" if wins else ""
        return f"{curve.candidate} beats the floor at the most rows: against {last.floor}, {said}{fewer}."
    return f"{curve.candidate} isn't shown better than the floor on as many rows: against {last.floor}, {said}."


def _chosen(curve: Curve) -> tuple[str, ...]:
    if curve.best is None:
        return ()
    best = next(point for point in curve.points if point.value == curve.best)
    said = f"{curve.candidate}: best at {curve.over} = {curve.best:g}, {figures.accuracy(best.figures)}."
    lucky = f" Chosen among {len(curve.points)} on the rows that measured it, it looks better than it is"
    if curve.corrected is None:
        return (f"{said}{lucky}: confirm it on rows that chose nothing.",)
    fair = figures.with_interval(curve.corrected.value, curve.corrected.interval)
    return (f"{said}{lucky}: without that luck {fair}. Confirm it on rows that chose nothing.",)
