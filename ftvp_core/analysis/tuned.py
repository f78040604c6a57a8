"""Before and after: what a tuning changed, on the eval set and on a set of what may have been forgotten."""

from collections.abc import Sequence
from typing import NamedTuple

from ftvp_core.analysis.comparison import ArmResults, candidate_figures, shared_differences
from ftvp_core.analysis.intervals import Ints, difference_interval
from ftvp_core.analysis.paired import holm, pair_of, paired_p, verdict
from ftvp_core.types import BeforeAfter, Comparison, Interval, Measured


class Sides(NamedTuple):
    before: ArmResults
    after: ArmResults


def change(comparison: Comparison, base: str, tuned: str) -> BeforeAfter | None:
    """The comparison's own pair, seen from the tuned candidate; None where nothing was scored on both."""
    by_name = {one.name: one for one in comparison.candidates}
    before, after = (_measured(by_name[name].accuracy, by_name[name].interval) for name in (base, tuned))
    pair = pair_of(comparison.pairs, tuned, base)
    if pair is None or pair.difference is None or pair.interval is None or before is None or after is None:
        return None
    return BeforeAfter(pair.n, before, after, pair.difference, pair.interval, pair.verdict)


def forgotten(sides: Sequence[Sides], clusters: Ints, margin: float) -> list[BeforeAfter | None]:
    """By tuned candidate, on the forgetting set's examples (`clusters` by example); Holm's adjustment over all."""
    shared = [shared_differences(one.after, one.before) for one in sides]
    tested = [at for at, (examples, _) in enumerate(shared) if len(examples)]
    p_values = [paired_p(differences, clusters[examples]) for examples, differences in (shared[at] for at in tested)]
    adjusted = dict(zip(tested, holm(p_values), strict=True))
    found: list[BeforeAfter | None] = []
    for at, (one, (examples, differences)) in enumerate(zip(sides, shared, strict=True)):
        figures = [candidate_figures(arm, clusters) for arm in one]
        before, after = (_measured(each.accuracy, each.interval) for each in figures)
        if at not in adjusted or before is None or after is None:
            found.append(None)
            continue
        difference, interval = float(differences.mean()), difference_interval(differences, clusters[examples])
        said = verdict(difference, interval, adjusted[at], margin)
        found.append(BeforeAfter(len(differences), before, after, difference, interval, said))
    return found


def _measured(value: float | None, interval: Interval | None) -> Measured | None:
    return None if value is None or interval is None else Measured(value, interval)
