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
    return (
        " ".join((*_answers(chosen, _baseline(chosen, others, comparison)), *_price(chosen, others))),
        *_undecided(chosen, others, comparison),
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
    compared = _baseline(best, others, one)
    return f"{best.name}{compared}" if compared else f"not decided: {best.name} leads, and nothing shows it better"


def _answers(one: CandidateFigures, compared: str = "") -> tuple[str, ...]:
    assert one.interval is not None
    low, high = 100 * one.interval.low, 100 * one.interval.high
    return (f"{one.name} answers {figures.percent(one.accuracy)} right ({low:.0f}–{high:.0f}){compared}.",)


def _baseline(chosen: CandidateFigures, others: list[CandidateFigures], comparison: Comparison | Slice) -> str:
    """Against the best of those that it is shown better than."""
    for other in sorted(others, key=lambda one: -(one.accuracy or 0.0)):
        pair = pair_of(comparison.pairs, chosen.name, other.name)
        if pair is None or pair.verdict != "better" or pair.difference is None or pair.interval is None:
            continue
        low, high = 100 * pair.interval.low, 100 * pair.interval.high
        return f", {100 * pair.difference:.0f} points above {other.name} ({low:.0f}–{high:.0f})"
    return ""


def _price(chosen: CandidateFigures, others: list[CandidateFigures]) -> tuple[str, ...]:
    parts = []
    if chosen.cost_per_1k_usd is not None:
        priced = [one for one in others if one.cost_per_1k_usd is not None]
        beside = f" ({priced[0].name}: {figures.dollars(priced[0].cost_per_1k_usd)})" if priced else ""
        parts.append(f"costs {figures.dollars(chosen.cost_per_1k_usd)} per 1,000{beside}")
    if chosen.latency_s is not None:
        parts.append(f"takes {figures.seconds(chosen.latency_s.p50)} (p95 {figures.seconds(chosen.latency_s.p95)})")
    return (f"It {' and '.join(parts)}.",) if parts else ()


def _undecided(chosen: CandidateFigures, others: list[CandidateFigures], comparison: Comparison) -> tuple[str, ...]:
    """The strongest rival that isn't told apart from the chosen one."""
    for other in sorted(others, key=lambda one: -(one.accuracy or 0.0)):
        pair = pair_of(comparison.pairs, other.name, chosen.name)
        if pair is None or pair.verdict != "not decided" or pair.difference is None or pair.interval is None:
            continue
        more = examples_to_decide(pair.difference, pair.n, (pair.a_only + pair.b_only) / pair.n)
        rows = f"; ~{figures.count(more - pair.n)} more rows" if more else ""
        said = f"{figures.points(pair.difference)} points, {figures.ends(pair.interval, decimals=0)}"
        return (f"Not decided: {other.name} against {chosen.name} ({said}{rows}).",)
    return ()
