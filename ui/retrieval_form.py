"""The form of a candidate's retrieval: how passages are searched, and who helps."""

import json
from collections.abc import Iterable

import streamlit as st

from ftvp_core.drafts import Keys, suggested_search
from ftvp_core.spec import DEFAULT, RetrievalSpec, is_remote
from ui.fields import Fields
from ui.words import plain

MODES = {"dense": "meaning", "lexical": "words", "hybrid": "words and meaning"}
WHY = {
    "max_tokens": "Passages are taken in order until the next doesn't fit; the first is always kept whole",
    "embedder": "openai/text-embedding-3-small, any provider/model with /v1/embeddings, or local/FOLDER; empty: offline",
    "rerank": "provider/model with /v1/rerank, or local/FOLDER of a cross-encoder: it reads four times as many passages as"
    " the prompt holds and puts them in order. Where a server bills by searches, as Cohere does, and doesn't say what it"
    " read, the cost is shown as unknown",
    "filter": "Others are not searched; empty: all of them",
}


def retrieval_form(keys: Keys, place: str, given: Keys | None) -> tuple[Keys, Keys]:
    """How passages are searched, and new prices. A new search is by the mode that suits the knowledge's language.

    `place` is in the widgets' keys.
    """
    suggested, why = _suggested(json.dumps(keys["knowledge"], sort_keys=True)) if "knowledge" in keys else ("dense", "")
    fields = Fields(place, given, RetrievalSpec, WHY)
    top_k, mode, budget = st.columns(3)
    fields.number(top_k, "top_k", "Passages in the prompt", 1, 32)
    chosen = fields.choice(mode, "mode", "Searched by", MODES, preferred=suggested if given is None else None)
    fields.number(budget, "max_tokens", "At most this many tokens of them", 1, 100_000, placeholder="no limit")
    if why:
        st.caption(plain(why))
    embedder, rerank, source = st.columns(3)
    before = fields.given
    shown = "" if before.embedder == DEFAULT else before.embedder
    by = fields.text(embedder, "embedder", "Embedder", shown, placeholder="offline", disabled=chosen == "lexical")
    ranks = fields.text(rerank, "rerank", "Re-ranked by", before.rerank or "", placeholder="nobody")
    fields.put("embedder", by or None)
    fields.put("rerank", ranks or None)
    columns = before.filter or {}
    only = fields.text(source, "filter", "Only sources that match", columns.get("source", ""), placeholder="guides/*")
    others = {column: pattern for column, pattern in columns.items() if column != "source"}
    fields.put("filter", {**({"source": only} if only else {}), **others} or None)
    return fields.keys(), _search_prices(place, filter(None, (by, ranks)))


def _search_prices(place: str, models: Iterable[str]) -> Keys:
    """Prices of a server's models that help the search."""
    prices = {}
    for model in models:
        if is_remote(model) and st.checkbox(f"Set the price of {plain(model)}", key=f"{place}-price-{model}"):
            read = st.number_input(
                "USD per million tokens it reads", 0.0, value=0.02, format="%.4f", key=f"{place}-usd-{model}"
            )
            prices[model] = {"input": read, "output": 0}
    return prices


@st.cache_data(show_spinner=False, max_entries=8)
def _suggested(knowledge: str) -> tuple[str, str]:
    """Read once for a knowledge's keys, given as JSON. Raises UserError."""
    return suggested_search(json.loads(knowledge))
