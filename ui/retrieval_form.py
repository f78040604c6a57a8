"""The form of a candidate's retrieval: how passages are searched, and who helps."""

import json
from collections.abc import Iterable

import streamlit as st

from ftvp_core.drafts import Keys, suggested_search
from ftvp_core.spec import is_remote
from ui.words import plain

MODES = {"dense": "meaning", "lexical": "words", "hybrid": "words and meaning"}


def retrieval_form(keys: Keys) -> tuple[Keys, Keys]:
    """How passages are searched, with the mode preselected that suits the knowledge's language; and new prices."""
    suggested, why = _suggested(json.dumps(keys["knowledge"], sort_keys=True)) if "knowledge" in keys else ("dense", "")
    top_k, mode, budget = st.columns(3)
    chosen = {
        "top_k": int(top_k.number_input("Passages in the prompt", 1, 32, 4)),
        "mode": mode.selectbox(
            "Searched by",
            list(MODES),
            list(MODES).index(suggested),
            format_func=MODES.__getitem__,
        ),
    }
    most = int(
        budget.number_input(
            "At most this many tokens of them (0: no limit)",
            0,
            100_000,
            0,
            help="Passages are taken in order until the next doesn't fit; the first is always kept whole",
        )
    )
    if why:
        st.caption(plain(why))
    embedder, rerank, source = st.columns(3)
    named = {
        "embedder": embedder.text_input(
            "Embedder",
            placeholder="offline",
            help="openai/text-embedding-3-small, any provider/model with /v1/embeddings, or local/FOLDER; empty: offline",
            disabled=chosen["mode"] == "lexical",
        ),
        "rerank": rerank.text_input(
            "Re-ranked by",
            placeholder="nobody",
            help="provider/model with /v1/rerank, or local/FOLDER of a cross-encoder: it reads four times as many "
            "passages as the prompt holds and puts them in order. Where a server bills by searches, as Cohere does, and "
            "doesn't say what it read, the cost is shown as unknown",
        ),
    }
    named = {key: name.strip() for key, name in named.items() if name.strip()}
    only = source.text_input(
        "Only sources that match", placeholder="guides/*", help="Others are not searched; empty: all of them"
    ).strip()
    chosen |= {**named, **({"max_tokens": most} if most else {}), **({"filter": {"source": only}} if only else {})}
    return chosen, _search_prices(named.values())


def _search_prices(models: Iterable[str]) -> Keys:
    """Prices of a server's models that help the search."""
    prices = {}
    for model in models:
        if is_remote(model) and st.checkbox(f"Set the price of {plain(model)}", key=f"price-{model}"):
            read = st.number_input(
                "USD per million tokens it reads", 0.0, value=0.02, format="%.4f", key=f"usd-{model}"
            )
            prices[model] = {"input": read, "output": 0}
    return prices


@st.cache_data(show_spinner=False, max_entries=8)
def _suggested(knowledge: str) -> tuple[str, str]:
    """Read once for a knowledge's keys, given as JSON. Raises UserError."""
    return suggested_search(json.loads(knowledge))
