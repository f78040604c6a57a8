"""What the way in which a run was measured does to its figures, said beside them."""

from collections.abc import Mapping

from ftvp_core.types import CandidateFigures, Comparison, Warned

#: Up to this share of a median latency the measuring machine's own lag is small.
SMALL_LAG = 0.1


def measured_warnings(
    comparison: Comparison,
    lag_s: float | None,
    from_cache: Mapping[str, int],
    measured: frozenset[str],
    fresh_alone: frozenset[str] = frozenset(),
) -> tuple[Warned, ...]:
    """`lag_s`: how late the run's own event loop was. `measured`: the candidates whose calls it timed; `fresh_alone`:
    those of them whose latency is of this run's own calls, without what the cache had."""
    found = []
    for one in comparison.candidates:
        cached, answered = from_cache.get(one.name, 0), one.n_scored + one.n_ungraded
        median_s = one.latency_s.p50 if one.latency_s and one.name in measured and cached < answered else None
        if lag_s is not None and median_s is not None and lag_s > SMALL_LAG * median_s:
            said = f"its own lag was {1000 * lag_s:.3g} ms of {1000 * median_s:.3g} ms"
            found.append(Warned("busy-machine", f"{one.name}: latency was measured by a busy machine: {said}"))
        if cached:
            said = f"{cached:,} of {answered:,} answers came from the cache"
            found.append(Warned("from-cache", f"{one.name}: {said}{_whose(one, cached, answered, fresh_alone)}"))
    return tuple(found)


def _whose(one: CandidateFigures, cached: int, answered: int, fresh_alone: frozenset[str]) -> str:
    """Of which asking the latencies are."""
    if one.latency_s is None:
        return ""
    if one.name in fresh_alone:
        return f"; latency is of the other {answered - cached:,} alone"
    rest = "" if cached == answered else "; those of the others are of this run"
    return f", with the latencies of their first asking{rest}"
