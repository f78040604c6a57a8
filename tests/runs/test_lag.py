"""The event loop's own lag: what holds the loop up shows in it, waiting does not."""

import asyncio
import time

import numpy as np
import pytest

from ftvp_core.runs.lag import Lag


async def lag_s(blocked_s: float) -> float:
    async with Lag() as lag:
        for _ in range(10):
            await asyncio.sleep(0.03)
            time.sleep(blocked_s)
    assert lag.p95_s is not None
    return lag.p95_s


def test_what_holds_the_loop_up_is_its_lag() -> None:
    idle, busy = asyncio.run(lag_s(0.0)), asyncio.run(lag_s(0.2))
    assert 0.1 < busy < 1.0
    assert idle < busy / 2


def test_before_the_first_timer_nothing_is_known() -> None:
    assert Lag().p95_s is None


def test_the_quantile_is_of_all_timers_to_a_tenth_of_a_millisecond() -> None:
    lag = Lag()
    late_s = np.random.default_rng(0).exponential(0.005, 1000)
    lag._late.update(int(np.ceil(late / 0.0001)) for late in late_s)
    assert lag.p95_s == pytest.approx(np.quantile(late_s, 0.95, method="inverted_cdf"), abs=0.0001)
