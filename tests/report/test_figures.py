"""Figures as people say them."""

import pytest

from ftvp_core.report import figures
from ftvp_core.types import Quantiles


@pytest.mark.parametrize(
    ("p50", "p95", "said"),
    [
        (0.0037, 0.017, "3.7 ms (p95 17 ms)"),
        (0.0005, 2.5, "0.5 ms (p95 2500 ms)"),
        (0.32, 0.51, "0.32 s (p95 0.51 s)"),
        (0.01, 0.017, "0.01 s (p95 0.017 s)"),
        (12.34, 123.4, "12.3 s (p95 123 s)"),
    ],
)
def test_a_latency_has_one_unit(p50: float, p95: float, said: str) -> None:
    assert figures.latency(Quantiles(p50, p95, p95)) == said
    assert figures.latency(Quantiles(p50, p95, p95), named=True) == f"p50 {said.replace(' (', ', ').rstrip(')')}"
