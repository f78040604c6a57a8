"""The Candidates page's parts: a candidate in words, and the form that adds one."""

import json
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
)
from ftvp_core.errors import UserError
from ftvp_core.spec import DEFAULT, OPENAI, Candidate, RetrievalSpec, Sampling
from ftvp_core.store.store import Store
from ui import state
from ui.reading import suggested_schema_of
from ui.retrieval_form import MODES, retrieval_form
from ui.tuning import tune_form
from ui.words import plain

KINDS = {
    "prompt": "Prompt (zero-shot)",
    "few-shot": "Few-shot prompt",
    "rag": "RAG: passages in the prompt",
    "tuned": "Fine-tuned on this machine",
    "adapter": "Fine-tuned elsewhere: an adapter",
    "floor": "Classical floor (no language model)",
}
#: Kinds whose model is on this machine.
LOCAL = {"tuned", "adapter"}
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
            providers, prices, candidate["model"] = _model(keys, ["local"] if kind in LOCAL else None)
            candidate |= _prompt(keys, kind)
            candidate |= _sampling()
            schema = _output_schema(keys, candidate["model"])
        special, more = _special(kind, keys)
        candidate, prices = {**candidate, **special, **(schema or {})}, {**prices, **more}
        if st.button("Add", type="primary", disabled=schema is None):
            _add(store, draft_id, keys, {"name": name.strip() or kind, **candidate}, providers, prices)


def _special(kind: str, keys: Keys) -> tuple[Keys, Keys]:
    """What makes it this kind, and what any model can have beside: shots, passages. With prices that it needs."""
    if kind == "floor":
        return {}, {}
    chosen: Keys = {}
    prices: Keys = {}
    if kind == "few-shot" or _also("train_set", "Shots before the question too", keys, kind):
        k, select = st.columns(2)
        shots = int(k.number_input("Shots", 1, 64, 8))
        how = select.selectbox("Chosen", ["random", "nearest"], help="The same for all, or each question's nearest")
        chosen["shots"] = {"k": shots, "select": how}
    if kind == "rag" or _also("knowledge", "Passages in the prompt too (RAG)", keys, kind):
        chosen["retrieval"], prices = retrieval_form(keys)
    if kind == "tuned":
        chosen["tune"] = tune_form()
    if kind == "adapter":
        chosen["adapter"] = st.text_input("Its folder", help="With an adapter_config.json, as PEFT saves one").strip()
    return chosen, prices


def _also(part: str, label: str, keys: Keys, kind: str) -> bool:
    """Whether a candidate of another kind is to have this beside; not asked where there are no data for it."""
    return part in keys and st.checkbox(label, key=f"with-{part}-{kind}")


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
    return {"prompt": {"user": user, **({"system": system} if system.strip() else {})}}


def _sampling() -> Keys:
    """A candidate's `sampling`, what equals its default left out; nothing where all does."""
    default = Sampling()
    most = st.number_input("At most this many tokens in an answer", 1, 32_000, default.max_tokens)
    with st.expander("Sampling"):
        first, second, third = st.columns(3)
        temperature = first.number_input(
            "Temperature",
            0.0,
            2.0,
            default.temperature,
            step=0.1,
            help="0: the likeliest answer, nearly always the same. Above it repeats differ, and a teacher's answers can"
            " agree or not",
        )
        top_p = second.number_input(
            "Top p", 0.01, 1.0, default.top_p, step=0.05, help="Only the likeliest tokens that add up to this share"
        )
        seed = third.number_input(
            "Sampling seed", 0, value=None, placeholder="none", help="Sent along; not every server heeds it"
        )
        stop = st.text_area(
            "Stop at", height=68, placeholder="one text a line", help="An answer ends before any of these texts"
        )
        stream = st.checkbox("Stream", help="Measures the time to the first token; not with batches")
    given: Keys = {"temperature": temperature, "max_tokens": int(most), "top_p": top_p, "seed": seed, "stream": stream}
    given = {key: value for key, value in given.items() if value != getattr(default, key)}
    ends = [line for line in stop.splitlines() if line]
    given |= {"stop": ends} if ends else {}
    return {"sampling": given} if given else {}


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
