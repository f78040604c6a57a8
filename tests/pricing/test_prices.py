"""Prices: exact, dated, and unknown where they are unknown."""

from decimal import Decimal

import pytest

from ftvp_core.pricing import prices
from ftvp_core.pricing.prices import PerToken, machine_cost, pricer, reserve
from ftvp_core.spec import Candidate, Prices, Spec, TokenPrice
from ftvp_core.types import Usage

OWN = {"acme/small": {"input": 0.15, "cached_input": 0.075, "output": 0.60}}


def priced(model: str, prices: dict[str, object] | None = None, batch: bool = False) -> Spec:
    keys = {
        "eval_set": {"path": "e.csv"},
        "providers": {name: {"base_url": "http://localhost/v1", "batch": batch} for name in ("acme", "openai")},
        "prices": prices or {},
        "candidates": [{"name": "a", "model": model}],
    }
    return Spec.model_validate(keys)


def test_every_provider_that_has_dated_prices_is_asked_for() -> None:
    from genai_prices import data

    def words(clause: object) -> list[str]:
        inner = [one for key in ("or_", "and_") for one in getattr(clause, key, ())]
        own = [getattr(clause, key) for key in ("contains", "equals", "starts_with") if hasattr(clause, key)]
        assert inner or own, f"a kind of clause that this test doesn't know: {clause}"
        return own + [word for one in inner for word in words(one)]

    clauses = [one.provider_match for one in data.providers if one.provider_match]
    for known in [*(one.id for one in data.providers), *(word for clause in clauses for word in words(clause))]:
        assert any(name in known for name in prices._NAMES), known


def test_a_request_is_priced_to_the_last_digit() -> None:
    price = PerToken(TokenPrice.model_validate(OWN["acme/small"]), "test")
    # 100 fresh × 0.15 + 900 cached × 0.075 + 7 × 0.60, per million
    assert price.cost(Usage(1000, 900, 7)) == Decimal("0.0000867")
    assert price.cost(Usage(1000, None, 7)) == Decimal("0.0001542")


def test_unknown_usage_has_an_unknown_cost() -> None:
    price = PerToken(TokenPrice.model_validate(OWN["acme/small"]), "test")
    assert price.cost(Usage(None, None, 7)) is None
    assert price.cost(Usage(1000, 0, None)) is None


def test_the_files_own_price_comes_first_then_the_dated_tables() -> None:
    spec = priced("acme/small", dict(OWN))
    found = pricer(spec.candidates[0], spec)
    assert found is not None and found.source == "the comparison file"
    spec = priced("openai/gpt-4o-mini")
    found = pricer(spec.candidates[0], spec)
    assert found is not None and "genai-prices" in found.source
    assert found.cost(Usage(1_000_000, 0, 1_000_000)) == Decimal("0.75")
    assert found.cost(Usage(1_000_000, 1_000_000, 0)) == Decimal("0.075")


@pytest.mark.parametrize("model", ["openai/ft:gpt-4.1-mini-2025-04-14:org::id", "openai/ft:gpt-4.1-mini-2025-04-14"])
def test_a_fine_tuned_model_is_priced_by_our_own_dated_table(model: str) -> None:
    spec = priced(model)
    found = pricer(spec.candidates[0], spec)
    assert found is not None and found.cost(Usage(1_000_000, 0, 1_000_000)) == Decimal("4.00")
    assert "2025-10-01" in found.source and "https://" in found.source


@pytest.mark.parametrize("model", ["acme/other", "openai/no-such-model", "local/demo"])
def test_what_no_table_knows_is_unpriced_not_free(model: str) -> None:
    spec = priced(model)
    assert pricer(spec.candidates[0], spec) is None


def test_a_batch_costs_half_by_the_files_own_price() -> None:
    spec = priced("acme/small", dict(OWN), batch=True)
    found = pricer(spec.candidates[0], spec)
    assert found is not None and "batch" in found.source
    assert found.cost(Usage(1000, 900, 7)) == Decimal("0.00004335")
    assert found.cost(Usage(None, None, 7)) is None


@pytest.mark.parametrize(("cached", "usd"), [(0, "0.0014"), (500, "0.00115")])
def test_a_dated_batch_price_is_the_tables_own_where_what_was_cached_is_not_halved(cached: int, usd: str) -> None:
    """gpt-4.1 per million tokens: 2.00 in, 0.50 cached, 8.00 out; in a batch 1.00, 0.50, 4.00, as genai-prices has it."""
    spec = priced("openai/gpt-4.1", batch=True)
    found = pricer(spec.candidates[0], spec)
    assert found is not None and "batch" in found.source
    assert found.cost(Usage(1000, cached, 100)) == Decimal(usd)


def test_the_reserve_is_the_prompts_bytes_and_the_longest_answer() -> None:
    price = PerToken(TokenPrice.model_validate(OWN["acme/small"]), "test")
    assert reserve(price, "카드", 10) == (6 * Decimal("0.15") + 10 * Decimal("0.60")) / 1_000_000


def test_a_machines_hour_is_divided_into_seconds() -> None:
    assert machine_cost(36, Decimal("0.20")) == Decimal("0.002")
    assert Prices().machine_hour is None
    assert Candidate(name="f", floor="nearest").model is None
