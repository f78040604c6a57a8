"""What calls at several concurrencies say of a server: latency, throughput and failures at each."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftvp_core.analysis.intervals import quantiles
from ftvp_core.types import LoadPoint


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt: when it was sent (Unix seconds), how long it took (None: it isn't known), whether it was answered."""

    sent_at: float
    latency_s: float | None
    answered: bool


def load_point(concurrency: int, calls: Sequence[Call]) -> LoadPoint | None:
    """None of no calls. Throughput is answers over the time in which any answered call was under way: an interruption
    between two calls isn't in it."""
    if not calls:
        return None
    timed = [(one.sent_at, one.latency_s) for one in calls if one.answered and one.latency_s is not None]
    busy_s = _covered([(start, start + latency_s) for start, latency_s in timed])
    return LoadPoint(
        concurrency,
        len(timed),
        sum(not one.answered for one in calls),
        quantiles([latency_s for _, latency_s in timed]),
        len(timed) / busy_s if busy_s > 0 else None,
    )


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
