"""A latency that the measuring machine spoiled, or that an earlier run measured, is said to be so."""

from collections.abc import Mapping

import pytest

from ftvp_core.decision.measured import measured_warnings
from tests.decision.test_rules import N, planted

#: Two candidates whose median latency is 0.5 s.
COMPARISON = planted({"served": 0.9, "here": 0.8}, {"served": "prompt", "here": "floor"})


def said(
    lag_s: float | None, from_cache: Mapping[str, int] | None = None, alone: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    found = measured_warnings(COMPARISON, lag_s, from_cache or {}, frozenset({"served"}), alone)
    return [(warned.id, warned.message) for warned in found]


@pytest.mark.parametrize("lag_s", [None, 0.0, 0.05])
def test_a_small_lag_is_not_worth_a_word(lag_s: float | None) -> None:
    assert said(lag_s) == []


def test_a_lag_that_is_not_small_is_said_of_what_was_timed_by_it() -> None:
    expected = (
        "served: latency was measured by a busy machine: its own lag of 80 ms isn't small against medians from 500 ms up;"
        " the true one is lower"
    )
    assert said(0.08) == [("busy-machine", expected)]


def test_cached_answers_are_counted_with_where_their_latency_is_from() -> None:
    some = f"served: 50 of {N} answers came from the cache, with the latencies of their first asking"
    assert said(None, {"served": 50}) == [("from-cache", f"{some}; those of the others are of this run")]
    all_ = some.replace("50 of", f"{N} of")
    assert said(0.08, {"served": N}) == [("from-cache", all_)]  # nothing was timed by this run
    own = f"served: 50 of {N} answers came from the cache; latency is of the other {N - 50} alone"
    assert said(None, {"served": 50}, frozenset({"served"})) == [("from-cache", own)]


def test_what_holds_of_many_candidates_is_said_once() -> None:
    names = [f"model-{at}" for at in range(5)]
    comparison = planted(dict.fromkeys(names, 0.9), dict.fromkeys(names, "prompt"))
    busy, cached = measured_warnings(comparison, 0.2, dict.fromkeys(names, 50), frozenset(names))
    assert busy.message.startswith("model-0, model-1 and 3 others: latency was measured by a busy machine")
    assert cached.message.startswith(f"model-0, model-1 and 3 others: 50 of {N} answers came from the cache")
