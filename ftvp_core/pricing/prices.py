"""What a request costs, in Decimal USD, and where the price comes from.

In this order: the comparison file's own prices, our dated table, genai-prices' dated table. A model found in
none of them is unpriced: its cost is unknown, not 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Protocol

import yaml

from ftvp_core.spec import Candidate, Spec, TokenPrice
from ftvp_core.types import Usage

MILLION = Decimal(1_000_000)
HOUR_S = Decimal(3600)
_ANY = Usage(1000, 0, 1000)
#: One of these is in the name of every provider that genai-prices may know, as a test sees. A server of one's own needn't
#: wait for it: its tables take 40 ms and 5 MB to import.
_NAMES = (
    "amazon", "anthropic", "arcee", "avian", "aws", "azure", "baseten", "bedrock", "cerebras", "cloudflare", "cohere",
    "copilot", "cursor", "databricks", "deepseek", "doubleword", "elevenlabs", "fireworks", "gemini", "google", "groq",
    "huggingface", "hyperbolic", "litellm", "meta", "minimax", "mistral", "modal", "moonshot", "nebius", "novita", "nscale",
    "openai", "openrouter", "ovhcloud", "perplexity", "publicai", "quicksilverpro", "sambanova", "together", "typesafe",
    "vertex", "voyage", "x-ai", "xai", "zai", "zhipuai",
)  # fmt: skip


class Pricer(Protocol):
    @property
    def source(self) -> str:
        """Where the price comes from and of which day it is."""
        ...

    def cost(self, usage: Usage) -> Decimal | None:
        """USD for one request; None where its usage isn't known."""
        ...


@dataclass(frozen=True, slots=True)
class PerToken:
    price: TokenPrice
    source: str

    def cost(self, usage: Usage) -> Decimal | None:
        if usage.input is None or usage.output is None:
            return None
        cached = usage.cached_input or 0
        of_cached = self.price.cached_input if self.price.cached_input is not None else self.price.input
        fresh = usage.input - cached
        return (fresh * self.price.input + cached * of_cached + usage.output * self.price.output) / MILLION


@dataclass(frozen=True, slots=True)
class Dated:
    """A model that genai-prices knows. Each request is priced alone: summed tokens reach long-context tiers."""

    provider: str
    model: str
    source: str
    context: Mapping[str, str] | None = None

    def cost(self, usage: Usage) -> Decimal | None:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price

        if usage.input is None or usage.output is None:
            return None
        tokens = Tokens(input_tokens=usage.input, cache_read_tokens=usage.cached_input or 0, output_tokens=usage.output)
        context = dict(self.context) if self.context else None
        return calc_price(tokens, self.model, provider_id=self.provider, price_context=context).total_price


@dataclass(frozen=True, slots=True)
class Halved:
    """What a batch's request costs: half of what the same request costs alone."""

    plain: Pricer

    @property
    def source(self) -> str:
        return f"half of {self.plain.source}: batch"

    def cost(self, usage: Usage) -> Decimal | None:
        cost = self.plain.cost(usage)
        return None if cost is None else cost / 2


def pricer(candidate: Candidate, spec: Spec) -> Pricer | None:
    """The price of a candidate's tokens; None: unpriced. Half of it where its provider takes batches."""
    if candidate.model is None or candidate.provider == "local":
        return None
    plain = price_of(candidate.model, spec)
    return plain if plain is None or not spec.is_batched(candidate) else _in_batch(plain)


def _in_batch(plain: Pricer) -> Pricer:
    """genai-prices' own batch price where it has one: what a cache had already isn't always cheaper in a batch."""
    if isinstance(plain, Dated):
        batch = replace(plain, source=f"{plain.source}: batch", context={"processing": "batch"})
        if batch.cost(_ANY) != plain.cost(_ANY):
            return batch
    return Halved(plain)


def price_of(named: str, spec: Spec) -> Pricer | None:
    """The price of a server's model, `provider/model`; None: unpriced."""
    own = spec.prices.of(named)
    if own is not None:
        return PerToken(own, "the comparison file")
    provider, _, model = named.partition("/")
    for row in _table():
        if row["provider"] == provider and (model == row["model"] or model.startswith(f"{row['model']}:")):
            price = TokenPrice(input=row["input"], cached_input=row["cached_input"], output=row["output"])
            return PerToken(price, f"{row['source']}, {row['dated']}")
    return _dated(provider, model)


def reserve(price: Pricer, prompt: str, max_tokens: int) -> Decimal:
    """The most that one attempt can cost: no token is shorter than a byte."""
    cost = price.cost(Usage(len(prompt.encode()), 0, max_tokens))
    return cost if cost is not None else Decimal(0)


def machine_cost(seconds: float, per_hour: Decimal) -> Decimal:
    """A local machine's time at the price of its hour."""
    return Decimal(str(seconds)) * per_hour / HOUR_S


def _dated(provider: str, model: str) -> Dated | None:
    if not any(name in provider.lower() for name in _NAMES):
        return None
    from importlib.metadata import version

    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        calc_price(Tokens(input_tokens=1, output_tokens=1), model, provider_id=provider)
    except LookupError:
        return None
    return Dated(provider, model, f"genai-prices {version('genai-prices')}")


@cache
def _table() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("table.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, str]] = yaml.safe_load(text)
    return rows
