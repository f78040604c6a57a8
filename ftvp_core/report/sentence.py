"""The sentences at the top: the answer first, and never more than the intervals allow."""

from ftvp_core.analysis.paired import examples_to_decide, pair_of
from ftvp_core.report import figures
from ftvp_core.types import BeforeAfter, CandidateFigures, Comparison, Decision, Slice


def summary(comparison: Comparison, decision: Decision) -> tuple[str, ...]:
    """One to three sentences, plain text."""
    scored = [one for one in comparison.candidates if one.accuracy is not None]
    if not scored:
        return ("No answer has been graded yet.",)
    chosen = next((one for one in scored if one.name == decision.choose), None)
    if chosen is None:
        best = max(scored, key=lambda one: one.accuracy or 0.0)
        return (f"Not decided: {best.n_scored} graded answers are too few to choose by.", *_answers(best))
    others = [one for one in scored if one is not chosen]
    worse, rival = _shown_worse(chosen, others, comparison), _rival(chosen, others, comparison)
    return (
        " ".join((*_answers(chosen, _above(chosen, worse, comparison)), *_price(chosen, worse or rival))),
        *_undecided(chosen, rival, comparison),
    )


def tuned_findings(comparison: Comparison) -> tuple[str, ...]:
    """What each tuning changed, and what was kept."""
    found = []
    for one in comparison.tunes:
        if one.change is not None:
            found.append(f"{one.candidate}: {changed(one.base or '', 'the eval set', one.change)}: {one.advice}.")
        if one.forgetting is not None:
            found.append(f"{one.candidate} kept: {changed('its base', one.forgetting_set or '', one.forgetting)}.")
    return tuple(found)


def changed(base: str, on: str, change: BeforeAfter) -> str:
    """`on 240 rows of the eval set: 0 % (0–2) before (base) → 88 % (84–92) after, +88 (83 to 92) points, better`."""
    before, after = (figures.with_interval(each.value, each.interval) for each in (change.before, change.after))
    said = figures.points(change.difference, change.interval)
    return f"on {change.n:,} rows of {on}, {before} before ({base}) → {after} after, {said} points, {change.verdict}"


def slice_finding(one: Slice) -> str:
    """What a slice's own rows show: the candidate most often right, and the next one below it that is shown worse."""
    scored = sorted((each for each in one.candidates if each.accuracy is not None), key=lambda each: -each.accuracy)  # type: ignore[operator]
    if not scored:
        return "no answer has been graded"
    best, *others = scored
    compared = _above(best, _shown_worse(best, others, one), one)
    return f"{best.name}{compared}" if compared else f"not decided: {best.name} leads, and nothing shows it better"


def _answers(one: CandidateFigures, compared: str = "") -> tuple[str, ...]:
    assert one.interval is not None
    low, high = 100 * one.interval.low, 100 * one.interval.high
    return (f"{one.name} answers {figures.percent(one.accuracy)} right ({low:.0f}–{high:.0f}){compared}.",)


def _shown_worse(
    chosen: CandidateFigures, others: list[CandidateFigures], comparison: Comparison | Slice
) -> CandidateFigures | None:
    """The best of those that the chosen one is shown better than."""
    for other in sorted(others, key=lambda one: -(one.accuracy or 0.0)):
        pair = pair_of(comparison.pairs, chosen.name, other.name)
        if pair is not None and pair.verdict == "better" and pair.difference is not None and pair.interval is not None:
            return other
    return None


def _above(chosen: CandidateFigures, other: CandidateFigures | None, comparison: Comparison | Slice) -> str:
    pair = pair_of(comparison.pairs, chosen.name, other.name) if other else None
    if other is None or pair is None or pair.difference is None or pair.interval is None:
        return ""
    low, high = 100 * pair.interval.low, 100 * pair.interval.high
    return f", {100 * pair.difference:.0f} points above {other.name} ({low:.0f}–{high:.0f})"


def _price(chosen: CandidateFigures, beside: CandidateFigures | None) -> tuple[str, ...]:
    """What the chosen one takes, beside the candidate that the sentences hold it against."""
    parts = []
    if chosen.cost_per_1k_usd is not None:
        known = beside is not None and beside.cost_per_1k_usd is not None
        its = f" ({beside.name}: {figures.dollars(beside.cost_per_1k_usd)})" if known and beside else ""
        parts.append(f"costs {figures.dollars(chosen.cost_per_1k_usd)} per 1,000{its}")
    if chosen.latency_s is not None:
        parts.append(f"takes {figures.latency(chosen.latency_s)}")
    return (f"It {' and '.join(parts)}.",) if parts else ()


def _rival(chosen: CandidateFigures, others: list[CandidateFigures], comparison: Comparison) -> CandidateFigures | None:
    """The strongest of those that aren't told apart from the chosen one."""
    for other in sorted(others, key=lambda one: -(one.accuracy or 0.0)):
        pair = pair_of(comparison.pairs, other.name, chosen.name)
        if pair is not None and pair.verdict == "not decided" and None not in (pair.difference, pair.interval):
            return other
    return None


def _undecided(chosen: CandidateFigures, rival: CandidateFigures | None, comparison: Comparison) -> tuple[str, ...]:
    pair = pair_of(comparison.pairs, rival.name, chosen.name) if rival else None
    if rival is None or pair is None or pair.difference is None or pair.interval is None:
        return ()
    more = examples_to_decide(pair.difference, pair.n, (pair.a_only + pair.b_only) / pair.n)
    rows = f"; ~{figures.count(more - pair.n)} more rows" if more else ""
    said = f"{figures.points(pair.difference)} points, {figures.ends(pair.interval, decimals=0)}"
    return (f"Not decided: {rival.name} against {chosen.name} ({said}{rows}).",)
