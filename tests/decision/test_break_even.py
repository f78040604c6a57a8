"""Break-even volumes, by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest

from ftvp_core.decision.break_even import break_even
from ftvp_core.types import Comparison
from tests.decision.test_rules import planted


def with_costs(tuned: str, prompt: str, training: str | None) -> Comparison:
    comparison = planted({"fine-tuned": 0.9, "prompt": 0.9}, costs={"fine-tuned": tuned, "prompt": prompt})
    first, second = comparison.candidates
    paid = Decimal(training) if training else None
    return replace(comparison, candidates=(replace(first, training_cost_usd=paid), second))


@pytest.mark.parametrize(
    ("tuned", "prompt", "training", "state", "volume"),
    [
        ("0.001", "0.003", "50", "crosses", 25_000),  # $50 over $0.002 a request
        ("0.003", "0.001", "50", "never", None),
        ("0.001", "0.001", "50", "never", None),
        ("0.001", "0.003", None, "already", None),
        ("0.001", "0.001", None, "never", None),
    ],
)
def test_the_volume_that_pays_for_training(
    tuned: str, prompt: str, training: str | None, state: str, volume: float | None
) -> None:
    (even,) = break_even(with_costs(tuned, prompt, training))
    assert (even.a, even.b, even.state) == ("fine-tuned", "prompt", state)
    assert even.requests_per_month == (pytest.approx(volume) if volume else None)


def test_unknown_costs_have_no_break_even() -> None:
    comparison = with_costs("0.001", "0.003", "50")
    first, second = comparison.candidates
    assert break_even(replace(comparison, candidates=(first, replace(second, cost_per_1k_usd=None)))) == ()
