"""From which monthly volume on a candidate that costs something to train is the cheaper one."""

from decimal import Decimal
from itertools import combinations

from ftvp_core.types import BreakEven, CandidateFigures, Comparison

NOTHING = Decimal(0)


def break_even(comparison: Comparison) -> tuple[BreakEven, ...]:
    """Every pair whose costs are known; `a` is the one that costs more to start.

    `crosses`: training is paid back within a month from `requests_per_month` on. `never`: `a` saves nothing a
    request. `already`: neither costs more to start, and `a` is the cheaper one at any volume.
    """
    known = [one for one in comparison.candidates if one.cost_per_1k_usd is not None]
    return tuple(_pair(*pair) for pair in combinations(known, 2))


def month_usd(one: CandidateFigures, requests: float) -> float | None:
    """What a candidate costs in its first month at so many requests, training and all; None where that isn't known."""
    if one.cost_per_1k_usd is None:
        return None
    return float(_start(one)) + requests * float(one.cost_per_1k_usd) / 1000


def _pair(one: CandidateFigures, other: CandidateFigures) -> BreakEven:
    a, b = sorted((one, other), key=lambda each: (-_start(each), each.cost_per_1k_usd or NOTHING))
    more_to_start = _start(a) - _start(b)
    saved = ((b.cost_per_1k_usd or NOTHING) - (a.cost_per_1k_usd or NOTHING)) / 1000
    if more_to_start == 0:
        return BreakEven(a.name, b.name, None, None, "already" if saved > 0 else "never")
    if saved <= 0:
        return BreakEven(a.name, b.name, None, None, "never")
    return BreakEven(a.name, b.name, float(more_to_start / saved), None, "crosses")


def _start(one: CandidateFigures) -> Decimal:
    return one.training_cost_usd or NOTHING
