"""The form of a candidate's model: at which provider, at what price, in batches or not."""

import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.spec import OPENAI

#: A provider that the draft doesn't name yet.
ANOTHER = "another server"


def model_form(keys: Keys, place: str, given: Keys, only: list[str] | None) -> tuple[Keys, Keys, str]:
    """The provider if it is new or changed, the model's price if it is set, and the model as `provider/name`.

    `only`: the providers to choose from; None for all. `place` is in the widgets' keys.
    """
    known = only or ["openai", *[name for name in keys.get("providers", {}) if name != "openai"], "local", ANOTHER]
    before, _, named = (given.get("model") or "").partition("/")
    left, right = st.columns(2)
    provider = left.selectbox(
        "Provider",
        known,
        known.index(before) if before in known else 0,
        key=f"{place}-provider-{'here' if only else 'any'}",
        help="openai needs OPENAI_API_KEY in the environment",
    )
    model = right.text_input(
        "Model",
        named if provider == before else "demo" if provider == "local" else "",
        placeholder="gpt-4o-mini",
        key=f"{place}-model-{provider == 'local'}",
        help="A folder or a hub name; demo is the shipped model" if provider == "local" else None,
    ).strip()
    providers: Keys = {}
    if provider == ANOTHER:
        new, url, key = st.columns(3)
        provider = new.text_input("Its name", placeholder="acme", key=f"{place}-new").strip()
        base_url = url.text_input("Its address", placeholder="http://127.0.0.1:8000/v1", key=f"{place}-url").strip()
        key_env = key.text_input(
            "The environment variable with its key",
            placeholder="ACME_KEY",
            key=f"{place}-env",
            help="The name, never the key itself",
        ).strip()
        providers = {provider: {"base_url": base_url, **({"api_key_env": key_env} if key_env else {})}}
    providers |= _batched(keys, place, provider, providers)
    prices = {} if provider == "local" else _price(keys, place, given, f"{provider}/{model}")
    return providers, prices, f"{provider}/{model}"


def _price(keys: Keys, place: str, given: Keys, model: str) -> Keys:
    """The model's price, if it is set here; None where it no longer is to have one."""
    known = keys.get("prices", {}).get(given.get("model"), {})
    if not st.checkbox(
        "Set its price",
        bool(known),
        key=f"{place}-priced",
        help="A model that no dated table knows is unpriced without one: its cost is unknown, not 0. Holds for all"
        " candidates of this model",
    ):
        return {given["model"]: None} if known else {}
    in_, out = st.columns(2)
    first, second = float(known.get("input", 0.15)), float(known.get("output", 0.60))
    price = {
        "input": in_.number_input("USD per million tokens in", 0.0, value=first, format="%.4f", key=f"{place}-usd-in"),
        "output": out.number_input(
            "USD per million tokens out", 0.0, value=second, format="%.4f", key=f"{place}-usd-out"
        ),
    }
    return {model: {**(known if model == given.get("model") else {}), **price}}


def _batched(keys: Keys, place: str, provider: str, new: Keys) -> Keys:
    """The provider again, with whether its candidates are asked in batches: nothing where that is as before."""
    if provider == "local" or not provider:
        return {}
    entry = new.get(provider) or keys.get("providers", {}).get(provider) or OPENAI.model_dump(exclude_defaults=True)
    batch = st.checkbox(
        "Ask in batches",
        value=bool(entry.get("batch")),
        key=f"{place}-batch-{provider}",
        help="Half price, latency not measured, up to 24 h. Holds for all candidates of this provider",
    )
    return {} if batch == bool(entry.get("batch")) else {provider: {**entry, "batch": batch}}
