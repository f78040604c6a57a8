"""Latency, throughput and failures at one concurrency."""

import numpy as np
import pytest

from ftvp_core.analysis.under_load import Call, load_point


def test_throughput_is_over_the_time_that_calls_were_under_way_and_quantiles_are_of_the_answered() -> None:
    first = [Call(100 + at * 0.5, 1.0, True) for at in range(4)]  # under way from 100 to 102.5
    later = [Call(5000.0, 2.0, True), Call(5000.5, 1.0, True)]  # a resume: from 5000 to 5002
    failed = [Call(5001.0, 9.0, False), Call(5001.0, None, False)]
    point = load_point(4, [*first, *later, *failed])
    assert point is not None and point.latency_s is not None
    assert (point.n, point.failed) == (6, 2)
    assert point.per_s == pytest.approx(6 / 4.5)
    assert point.latency_s.p95 == pytest.approx(np.percentile([1, 1, 1, 1, 2, 1], 95))


def test_nothing_asked_has_no_point_and_nothing_answered_has_no_latency() -> None:
    assert load_point(1, []) is None
    point = load_point(1, [Call(0.0, None, False)])
    assert point is not None and (point.n, point.failed, point.latency_s, point.per_s) == (0, 1, None, None)
