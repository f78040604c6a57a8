"""What the way in which a run was measured does to its figures, said beside them."""

from collections.abc import Mapping

from ftvp_core.types import Comparison, Warned

#: Up to this share of a median latency the measuring machine's own lag is small.
SMALL_LAG = 0.1


def measured_warnings(
    comparison: Comparison, lag_s: float | None, from_cache: Mapping[str, int], measured: frozenset[str]
) -> tuple[Warned, ...]:
    """`lag_s`: how late the run's own event loop was. `measured`: the candidates whose calls it timed."""
    found = []
    for one in comparison.candidates:
        cached, answered = from_cache.get(one.name, 0), one.n_scored + one.n_ungraded
        median_s = one.latency_s.p50 if one.latency_s and one.name in measured and cached < answered else None
        if lag_s is not None and median_s is not None and lag_s > SMALL_LAG * median_s:
            said = f"its own lag was {1000 * lag_s:.3g} ms of {1000 * median_s:.3g} ms"
            found.append(Warned("busy-machine", f"{one.name}: latency was measured by a busy machine: {said}"))
        if cached:
            rest = "" if cached == answered else "; those of the others are of this run"
            said = f"{cached:,} of {answered:,} answers came from the cache, with the latencies of their first asking"
            found.append(Warned("from-cache", f"{one.name}: {said}{rest}"))
    return tuple(found)
