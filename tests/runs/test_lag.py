"""The event loop's own lag: what holds the loop up shows in it."""

import asyncio
import time

import numpy as np
import pytest

from ftvp_core.runs.lag import EVERY_S, Lag


def test_what_holds_the_loop_up_is_its_lag() -> None:
    """A timer that is set before a block is due within EVERY_S, and fires after it: on a busy machine even later."""

    async def blocked(for_s: float) -> float | None:
        async with Lag() as lag:
            for _ in range(10):
                await asyncio.sleep(0.03)
                time.sleep(for_s)
            await asyncio.sleep(0.03)
        return lag.p95_s

    lag_s = asyncio.run(blocked(0.2))
    assert lag_s is not None and lag_s >= 0.2 - EVERY_S


def test_before_the_first_timer_nothing_is_known() -> None:
    assert Lag().p95_s is None


def test_the_quantile_is_of_all_timers_to_a_tenth_of_a_millisecond() -> None:
    lag = Lag()
    late_s = np.random.default_rng(0).exponential(0.005, 1000)
    lag._late.update(int(np.ceil(late / 0.0001)) for late in late_s)
    assert lag.p95_s == pytest.approx(np.quantile(late_s, 0.95, method="inverted_cdf"), abs=0.0001)
