"""The form of a candidate: it adds one, or changes the one that it is opened with."""

import json
from typing import NamedTuple

import streamlit as st

from ftvp_core.draft_candidates import added, edited
from ftvp_core.drafts import Keys, change, check_so_far, output_schema
from ftvp_core.errors import UserError
from ftvp_core.spec import Sampling
from ftvp_core.store.store import Store
from ui import state
from ui.fields import Fields
from ui.model_form import model_form
from ui.reading import suggested_schema_of
from ui.retrieval_form import retrieval_form
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
NEEDS = {"few-shot": "train_set", "rag": "knowledge", "tuned": "train_set", "floor": "train_set"}
#: The form that adds a candidate: its widgets' place.
NEW = "candidate"
FLOORS = ["tfidf-svm", "nearest"]
SELECTED = ["random", "nearest"]
WHY = {
    "temperature": "0: the likeliest answer, nearly always the same. Above it repeats differ, and a teacher's answers can"
    " agree or not",
    "top_p": "Only the likeliest tokens that add up to this share",
    "seed": "Sent along; not every server heeds it",
    "stream": "Measures the time to the first token; not with batches",
}


class Opened(NamedTuple):
    """The candidate whose form is open, to change it or to begin a copy; and the place of its widgets."""

    name: str
    is_copy: bool
    place: str


class _Chosen(NamedTuple):
    """What a form says: the candidate, what it changes beside it, and whether all of it can be kept."""

    candidate: Keys
    providers: Keys
    prices: Keys
    is_valid: bool


def add_form(store: Store, draft_id: str, keys: Keys) -> None:
    """Adds a candidate. Raises UserError."""
    st.header("Add a candidate", anchor=False)
    chosen = _form(keys, NEW, {})
    if st.button("Add", type="primary", disabled=not chosen.is_valid):
        _keep(store, draft_id, keys, chosen, {"candidates": added(keys, chosen.candidate)})


def opened_form(store: Store, draft_id: str, keys: Keys, candidate: Keys, opened: Opened) -> None:
    """Changes a candidate, or adds one that begins as a copy of it. Raises UserError."""
    given = {**candidate, "name": f"{opened.name}, copy"} if opened.is_copy else candidate
    st.markdown(f"**{'A copy of' if opened.is_copy else 'Edit'} {plain(opened.name)}**")
    chosen = _form(keys, opened.place, given)
    with st.container(horizontal=True):
        keep = st.button("Add the copy" if opened.is_copy else "Save", type="primary", disabled=not chosen.is_valid)
        st.button("Close", key=f"close-{opened.place}", help="Nothing is changed", on_click=_close)
    if keep and opened.is_copy:
        _keep(store, draft_id, keys, chosen, {"candidates": added(keys, chosen.candidate)})
    elif keep:
        _keep(store, draft_id, keys, chosen, edited(keys, opened.name, chosen.candidate))


def _close() -> None:
    st.session_state[state.OPENED] = None


def _keep(store: Store, draft_id: str, keys: Keys, chosen: _Chosen, parts: Keys) -> None:
    """Keep what changes, if the file with it would be valid. Raises UserError."""
    prices = {**keys.get("prices", {}), **chosen.prices}
    changed = {
        **parts,
        "providers": {**keys.get("providers", {}), **chosen.providers} or None,
        "prices": {model: price for model, price in prices.items() if price is not None} or None,
    }
    check_so_far({**keys, **{key: part for key, part in changed.items() if part}})
    change(store, draft_id, **changed)
    _close()
    st.rerun()


def kind_of(candidate: Keys) -> str:
    """The form's kind that a candidate is."""
    for part, kind in (("tune", "tuned"), ("adapter", "adapter"), ("floor", "floor"), ("retrieval", "rag")):
        if candidate.get(part) is not None:
            return kind
    return "few-shot" if (candidate.get("shots") or {}).get("k") else "prompt"


def _form(keys: Keys, place: str, given: Keys) -> _Chosen:
    """The fields, with what `given` has. `place` is in their keys."""
    with st.container(border=True):
        if given.get("recorded"):
            name = st.text_input("Name", given["name"], key=f"{place}-name")
            return _Chosen({**given, "name": name.strip()}, {}, {}, is_valid=True)
        kinds = list(KINDS)
        at = kinds.index(kind_of(given)) if given else 0
        kind = st.selectbox("Kind", kinds, at, format_func=KINDS.__getitem__, key=f"{place}-kind")
        needed = NEEDS.get(kind)
        if needed and needed not in keys:
            st.warning(
                f"This kind needs {'knowledge' if needed == 'knowledge' else 'a training set'}: add one on Data."
            )
        typed = st.text_input("Name", given.get("name", ""), placeholder=kind, key=f"{place}-name")
        name = typed.strip() or kind
        if kind == "floor":
            return _Chosen({"name": name, **_floor(place, given)}, {}, {}, is_valid=True)
        providers, prices, model = model_form(keys, place, given, ["local"] if kind in LOCAL else None)
        candidate = {"name": name, "model": model, **_prompt(keys, place, given, kind), **_sampling(place, given)}
        schema = _output_schema(keys, place, given, model)
        special, more = _special(kind, keys, place, given)
        return _Chosen({**candidate, **special, **(schema or {})}, providers, {**prices, **more}, schema is not None)


def _floor(place: str, given: Keys) -> Keys:
    """Which floor; the rows that it learns from are a sweep's, and stay."""
    floor = st.selectbox(
        "Floor",
        FLOORS,
        FLOORS.index(given.get("floor") or FLOORS[0]),
        key=f"{place}-floor",
        help="TF-IDF with a linear SVM, or the nearest row's label",
    )
    return {"floor": floor, **({"train": given["train"]} if "train" in given else {})}


def _special(kind: str, keys: Keys, place: str, given: Keys) -> tuple[Keys, Keys]:
    """What makes it this kind, and what any model can have beside: shots, passages. With prices that it needs."""
    chosen: Keys = {}
    prices: Keys = {}
    if kind == "few-shot" or _also("train_set", "shots", "Shots before the question too", keys, place, given, kind):
        chosen["shots"] = _shots(place, given.get("shots") or {})
    if kind == "rag" or _also("knowledge", "retrieval", "Passages in the prompt too (RAG)", keys, place, given, kind):
        chosen["retrieval"], prices = retrieval_form(keys, place, given.get("retrieval"))
    if kind == "tuned":
        chosen["tune"] = tune_form(place, given.get("tune"))
    if kind == "adapter":
        folder = st.text_input(
            "Its folder",
            given.get("adapter") or "",
            key=f"{place}-adapter",
            help="With an adapter_config.json, as PEFT saves one",
        )
        chosen["adapter"] = folder.strip()
    return chosen, prices


def _also(source: str, part: str, label: str, keys: Keys, place: str, given: Keys, kind: str) -> bool:
    """Whether a candidate of another kind is to have this beside; not asked where there are no data for it."""
    has = given.get(part) is not None
    return (has or source in keys) and st.checkbox(label, has, key=f"{place}-with-{part}-{kind}")


def _shots(place: str, given: Keys) -> Keys:
    k, select = st.columns(2)
    asked = given.get("k", 8)
    return {
        "k": int(k.number_input("Shots", min(1, asked), max(64, asked), asked, key=f"{place}-shots")),
        "select": select.selectbox(
            "Chosen",
            SELECTED,
            SELECTED.index(given.get("select", "random")),
            key=f"{place}-select",
            help="The same for all, or each question's nearest",
        ),
    }


def _prompt(keys: Keys, place: str, given: Keys, kind: str) -> Keys:
    prompt = given.get("prompt") or {}
    column = "input" if given else keys.get("eval_set", {}).get("input", "input")
    system = st.text_area("System prompt (optional)", prompt.get("system") or "", height=68, key=f"{place}-system")
    context = "{context}\n\n" if kind == "rag" and not given else ""
    user = st.text_area(
        "User prompt",
        prompt.get("user") or f"{context}{{{column}}}",
        height=100,
        key=f"{place}-user-prompt-{kind}",
        help="{column} stands for a column, {context} for retrieved passages, {{ for a brace",
    )
    return {"prompt": {"user": user, **({"system": system} if system.strip() else {})}}


def _sampling(place: str, given: Keys) -> Keys:
    """A candidate's `sampling`; nothing where all of it is the default."""
    fields = Fields(place, given.get("sampling"), Sampling, WHY)
    fields.number(st, "max_tokens", "At most this many tokens in an answer", 1, 32_000)
    with st.expander("Sampling"):
        first, second, third = st.columns(3)
        fields.number(first, "temperature", "Temperature", 0.0, 2.0, step=0.1)
        fields.number(second, "top_p", "Top p", 0.01, 1.0, step=0.05)
        fields.number(third, "seed", "Sampling seed", 0, placeholder="none")
        stop = st.text_area(
            "Stop at",
            "\n".join(fields.given.stop or ()),
            height=68,
            placeholder="one text a line",
            key=f"{place}-stop",
            help="An answer ends before any of these texts",
        )
        fields.put("stop", [line for line in stop.splitlines() if line] or None)
        fields.tick(st, "stream", "Stream")
    sampling = fields.keys()
    return {"sampling": sampling} if sampling else {}


def _put_schema(key: str, text: str) -> None:
    st.session_state[key] = text


def _output_schema(keys: Keys, place: str, given: Keys, model: str) -> Keys | None:
    """The optional schema, checked as it is typed; None while it is wrong."""
    key = f"{place}-schema"
    before = given.get("output_schema")
    st.session_state.setdefault(key, "" if before is None else json.dumps(before, ensure_ascii=False, indent=2))
    with st.expander("Output schema: the answer as JSON", before is not None, icon=":material/data_object:"):
        suggested = suggested_schema_of(keys)
        if suggested is not None:
            text = json.dumps(suggested, ensure_ascii=False, indent=2)
            st.button("Infer from references", key=f"{place}-infer", on_click=_put_schema, args=(key, text))
        typed = st.text_area(
            "JSON Schema (optional)",
            height=160,
            key=key,
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
