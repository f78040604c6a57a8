"""The Candidates page's parts: a candidate in words, and the form that adds one."""

import json
from collections.abc import Iterable
from typing import Any

import streamlit as st

from ftvp_core.draft_sweeps import base_of
from ftvp_core.drafts import (
    Keys,
    bounds_of,
    change,
    check_so_far,
    names_gold,
    output_schema,
    put_candidate,
    suggested_search,
)
from ftvp_core.errors import UserError
from ftvp_core.spec import DEFAULT, OPENAI, Candidate, RetrievalSpec, is_remote
from ftvp_core.store.store import Store
from ui import state
from ui.reading import suggested_schema_of
from ui.tuning import tune_form
from ui.words import plain

KINDS = {
    "prompt": "Prompt (zero-shot)",
    "few-shot": "Few-shot prompt",
    "rag": "RAG: passages in the prompt",
    "tuned": "Fine-tuned on this machine",
    "floor": "Classical floor (no language model)",
}
MODES = {"dense": "meaning", "lexical": "words", "hybrid": "words and meaning"}
#: A provider that the draft doesn't name yet.
ANOTHER = "another server"
NEEDS = {"few-shot": "train_set", "rag": "knowledge", "tuned": "train_set", "floor": "train_set"}


def described(candidate: Keys) -> str:
    """One line: name, method, model and what is special, in Markdown with the name taken literally."""
    one = Candidate(**candidate)
    parts = [one.method, one.model or one.floor or one.recorded or ""]
    if one.shots and one.shots.k:
        parts.append(f"{one.shots.k} {one.shots.select} shots")
    if one.retrieval:
        parts += _searched(one.retrieval)
    if one.output_schema is not None:
        parts.append("output schema")
    if one.tune and one.tune.teacher:
        parts.append(f"learns from {one.tune.teacher}")
    return f"**{plain(one.name)}** · {plain(' · '.join(part for part in parts if part))}"


def _searched(retrieval: RetrievalSpec) -> list[str]:
    """What is special about a search, part by part."""
    filters = [f"{key} {pattern}" for key, pattern in (retrieval.filter or {}).items()]
    if retrieval.oracle:
        return ["gold passages", *filters]
    embeds = retrieval.embedder if retrieval.mode != "lexical" and retrieval.embedder != DEFAULT else None
    return [
        f"by {MODES[retrieval.mode]}, top {retrieval.top_k}",
        *([f"embedded by {embeds}"] if embeds else []),
        *([f"re-ranked by {retrieval.rerank}"] if retrieval.rerank else []),
        *filters,
    ]


def bounds_button(store: Store, draft_id: str, keys: Keys, candidate: Keys) -> None:
    """One click adds what a RAG candidate lies between, where the eval set names gold passages."""
    retrieval = candidate.get("retrieval")
    if retrieval is None or retrieval.get("oracle") or not names_gold(keys):
        return
    bounds = bounds_of(candidate)
    there = {one["name"] for one in keys["candidates"]}
    if all(one["name"] in there for one in bounds):
        return
    if st.button(
        "Add bounds",
        key=f"bounds-{candidate['name']}",
        help="The same with the gold passages, which no search can beat, and with none: what the model knows by itself",
    ):
        for one in bounds:
            keys = {**keys, "candidates": put_candidate(keys, one)}
        change(store, draft_id, candidates=keys["candidates"])
        st.rerun()


def base_button(store: Store, draft_id: str, keys: Keys, candidate: Keys) -> None:
    """One click adds what a tuned candidate was before, where it isn't there yet."""
    base = base_of(keys, candidate)
    if base is None:
        return
    if st.button(
        "Add its base",
        key=f"base-{candidate['name']}",
        help="The same without tuning: what the tuning changed is known only against it",
    ):
        change(store, draft_id, candidates=put_candidate(keys, base))
        st.rerun()


def add_form(store: Store, draft_id: str, keys: Keys) -> None:
    """Add a candidate, or replace the one of the same name."""
    st.subheader("Add a candidate")
    kind = st.selectbox("Kind", list(KINDS), format_func=KINDS.__getitem__, key="candidate-kind")
    needed = NEEDS.get(kind)
    if needed and needed not in keys:
        st.warning(f"This kind needs {'knowledge' if needed == 'knowledge' else 'a training set'}: add one on Data.")
    with st.container(border=True):
        name = st.text_input("Name", placeholder=kind, help="A name that is there already is replaced.")
        candidate: dict[str, Any] = {}
        providers: Keys = {}
        prices: Keys = {}
        schema: Keys | None = {}
        if kind == "floor":
            candidate["floor"] = st.selectbox(
                "Floor", ["tfidf-svm", "nearest"], help="TF-IDF with a linear SVM, or the nearest row's label"
            )
        else:
            providers, prices, candidate["model"] = _model(keys, ["local"] if kind == "tuned" else None)
            candidate |= _prompt(keys, kind)
            schema = _output_schema(keys, candidate["model"])
        special, more = _special(kind, keys)
        candidate, prices = {**candidate, **special, **(schema or {})}, {**prices, **more}
        if st.button("Add", type="primary", disabled=schema is None):
            _add(store, draft_id, keys, {"name": name.strip() or kind, **candidate}, providers, prices)


def _special(kind: str, keys: Keys) -> tuple[Keys, Keys]:
    """What only this kind has; and prices that it needs."""
    if kind == "few-shot":
        k, select = st.columns(2)
        shots = int(k.number_input("Shots", 1, 64, 8))
        chosen = select.selectbox("Chosen", ["random", "nearest"], help="The same for all, or each question's nearest")
        return {"shots": {"k": shots, "select": chosen}}, {}
    if kind == "rag":
        retrieval, prices = _retrieval(keys)
        return {"retrieval": retrieval}, prices
    if kind == "tuned":
        return {"tune": tune_form()}, {}
    return {}, {}


def _retrieval(keys: Keys) -> tuple[Keys, Keys]:
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


def _model(keys: Keys, only: list[str] | None) -> tuple[Keys, Keys, str]:
    """A provider, its price, and the model as `provider/name`."""
    known = ["openai", *[name for name in keys.get("providers", {}) if name != "openai"], "local", ANOTHER]
    left, right = st.columns(2)
    provider = left.selectbox("Provider", only or known, help="openai needs OPENAI_API_KEY in the environment")
    named = "A folder or a hub name; demo is the shipped model" if provider == "local" else None
    model = right.text_input("Model", "demo" if provider == "local" else "", placeholder="gpt-4o-mini", help=named)
    providers: Keys = {}
    if provider == ANOTHER:
        new, url, key = st.columns(3)
        provider = new.text_input("Its name", placeholder="acme").strip()
        base_url = url.text_input("Its address", placeholder="http://127.0.0.1:8000/v1").strip()
        key_env = key.text_input(
            "The environment variable with its key", placeholder="ACME_KEY", help="The name, never the key itself"
        ).strip()
        providers = {provider: {"base_url": base_url, **({"api_key_env": key_env} if key_env else {})}}
    providers |= _batched(keys, provider, providers)
    if provider == "local" or not st.checkbox(
        "Set its price", help="A model that no dated table knows is unpriced without one: its cost is unknown, not 0"
    ):
        return providers, {}, f"{provider}/{model.strip()}"
    in_, out = st.columns(2)
    price = {
        "input": in_.number_input("USD per million tokens in", 0.0, value=0.15, format="%.4f"),
        "output": out.number_input("USD per million tokens out", 0.0, value=0.60, format="%.4f"),
    }
    return providers, {f"{provider}/{model.strip()}": price}, f"{provider}/{model.strip()}"


def _batched(keys: Keys, provider: str, new: Keys) -> Keys:
    """The provider again, with whether its candidates are asked in batches: nothing where that is as before."""
    if provider == "local" or not provider:
        return {}
    entry = new.get(provider) or keys.get("providers", {}).get(provider) or OPENAI.model_dump(exclude_defaults=True)
    batch = st.checkbox(
        "Ask in batches",
        value=bool(entry.get("batch")),
        key=f"batch-{provider}",
        help="Half price, latency not measured, up to 24 h. Holds for all candidates of this provider",
    )
    return {} if batch == bool(entry.get("batch")) else {provider: {**entry, "batch": batch}}


def _prompt(keys: Keys, kind: str) -> Keys:
    column = keys.get("eval_set", {}).get("input", "input")
    system = st.text_area("System prompt (optional)", height=68)
    context = "{context}\n\n" if kind == "rag" else ""
    user = st.text_area(
        "User prompt",
        f"{context}{{{column}}}",
        height=100,
        key=f"user-prompt-{kind}",
        help="{column} stands for a column, {context} for retrieved passages, {{ for a brace",
    )
    most = int(st.number_input("At most this many tokens in an answer", 1, 32_000, 256))
    prompt = {"user": user, **({"system": system} if system.strip() else {})}
    return {"prompt": prompt, **({"sampling": {"max_tokens": most}} if most != 256 else {})}


def _put_schema(text: str) -> None:
    st.session_state[state.SCHEMA] = text


def _output_schema(keys: Keys, model: str) -> Keys | None:
    """The optional schema, checked as it is typed; None while it is wrong."""
    with st.expander("Output schema: the answer as JSON", icon=":material/data_object:"):
        suggested = suggested_schema_of(keys)
        if suggested is not None:
            text = json.dumps(suggested, ensure_ascii=False, indent=2)
            st.button("Infer from references", on_click=_put_schema, args=(text,))
        typed = st.text_area(
            "JSON Schema (optional)",
            height=160,
            key=state.SCHEMA,
            placeholder='{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}',
            help="A local model is held to it token by token. A server is asked in its own JSON mode; where it has none,"
            " the schema goes into the prompt, and an invalid answer is sent back once",
        )
        if not typed.strip():
            return {}
        try:
            schema = output_schema(typed, model)
        except UserError as error:
            st.error(plain(str(error)))
            return None
        st.caption("A valid JSON Schema. The grader json_match compares answers as JSON values.")
        return {"output_schema": schema}


def _add(store: Store, draft_id: str, keys: Keys, candidate: Keys, providers: Keys, prices: Keys) -> None:
    """Keep it, if the file with it would be valid. Raises UserError."""
    changed = {
        "candidates": put_candidate(keys, candidate),
        "providers": {**keys.get("providers", {}), **providers} or None,
        "prices": {**keys.get("prices", {}), **prices} or None,
    }
    check_so_far({**keys, **{key: part for key, part in changed.items() if part}})
    change(store, draft_id, **changed)
    st.rerun()
