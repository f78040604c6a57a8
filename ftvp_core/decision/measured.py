"""What the way in which a run was measured does to its figures, said beside them."""

from collections.abc import Mapping, Sequence

from ftvp_core.types import CandidateFigures, Comparison, Warned

#: Up to this share of a median latency the measuring machine's own lag is small.
SMALL_LAG = 0.1
#: So many candidates are named in one warning.
NAMED = 3


def measured_warnings(
    comparison: Comparison,
    lag_s: float | None,
    from_cache: Mapping[str, int],
    measured: frozenset[str],
    fresh_alone: frozenset[str] = frozenset(),
) -> tuple[Warned, ...]:
    """One for each thing to say, with all candidates that it is said of.

    `lag_s`: how late the run's own event loop was. `measured`: the candidates whose calls it timed; `fresh_alone`:
    those of them whose latency is of this run's own calls, without what the cache had.
    """
    busy: dict[str, float] = {}
    said: dict[str, list[str]] = {}
    for one in comparison.candidates:
        cached, answered = from_cache.get(one.name, 0), one.n_scored + one.n_ungraded
        median_s = one.latency_s.p50 if one.latency_s and one.name in measured and cached < answered else None
        if lag_s is not None and median_s is not None and lag_s > SMALL_LAG * median_s:
            busy[one.name] = median_s
        if cached:
            of_it = (
                f"{cached:,} of {answered:,} answers came from the cache{_whose(one, cached, answered, fresh_alone)}"
            )
            said.setdefault(of_it, []).append(one.name)
    found = [Warned("from-cache", f"{_named(names)}: {of_it}") for of_it, names in said.items()]
    if lag_s is not None and busy:
        of_it = f"its own lag of {1000 * lag_s:.3g} ms isn't small against medians from {1000 * min(busy.values()):.3g} ms up"
        warned = f"{_named(list(busy))}: latency was measured by a busy machine: {of_it}; the true one is lower"
        found.insert(0, Warned("busy-machine", warned))
    return tuple(found)


def _named(names: Sequence[str]) -> str:
    """All names, of many the first: `a, b and 8 others`."""
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} others"


def _whose(one: CandidateFigures, cached: int, answered: int, fresh_alone: frozenset[str]) -> str:
    """Of which asking the latencies are."""
    if one.latency_s is None:
        return ""
    if one.name in fresh_alone:
        return f"; latency is of the other {answered - cached:,} alone"
    rest = "" if cached == answered else "; those of the others are of this run"
    return f", with the latencies of their first asking{rest}"
