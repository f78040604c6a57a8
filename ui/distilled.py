"""Distillation on the pages: the form that adds a student, and what came of one."""

from functools import partial

import streamlit as st

from ftvp_core.draft_candidates import bare_prompt, with_student
from ftvp_core.drafts import Keys, change, rows_to_label
from ftvp_core.jobs.distilled_set import distilled_set
from ftvp_core.report import figures
from ftvp_core.report.distilled import LICENCE, sentences
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import CandidateFigures, Comparison, Distillation
from ui import state
from ui.words import plain

#: What each filter keeps, and what it takes.
KEEP = {
    "graders": ("those that the graders find right", "A row without an answer of its own is kept unchecked"),
    "agreement": ("those that several answers agree on", "Needs no answers; the teacher's temperature is above 0"),
    "all": ("all of them", "But for failed, empty and cut ones"),
}


def button(candidate: Keys) -> None:
    """Opens the form that distils a candidate: any that asks a model."""
    if candidate.get("model"):
        st.button(
            "Distil",
            key=f"distil-{candidate['name']}",
            help=f"Tune a smaller model, or the same one on a shorter prompt, on what {candidate['name']} answers",
            on_click=_open,
            args=(candidate["name"],),
        )


def form(store: Store, draft_id: str, keys: Keys) -> None:
    """Adds a student of the candidate whose button was pressed. Raises UserError."""
    teacher = next(
        (one for one in keys.get("candidates", ()) if one["name"] == st.session_state.get(state.DISTILLING)), None
    )
    if teacher is None:
        return
    with st.container(border=True):
        st.markdown(f"**Distil {plain(teacher['name'])}**")
        student = _student(teacher, keys)
        with st.container(horizontal=True):
            added = student is not None and st.button("Add the student, and the same untuned", type="primary")
            st.button("Close", on_click=_open, args=(None,))
    if student is not None and added:
        candidates = with_student(keys, teacher, student)
        change(store, draft_id, candidates=candidates)
        _open(None)
        st.rerun()


def _open(name: str | None) -> None:
    st.session_state[state.DISTILLING] = name


def _student(teacher: Keys, keys: Keys) -> Keys | None:
    """The student as the form says; None where there is nothing to label."""
    rows = rows_to_label(keys)
    if rows is None:
        st.warning("There are no training rows to label: add a training set on Data. It needs no answers.")
        return None
    name = teacher["name"]
    provider, _, model = teacher["model"].partition("/")
    system, user = bare_prompt(keys, teacher)
    left, right = st.columns(2)
    called = left.text_input("Name of the student", f"{name}, distilled", key=f"distil-name-{name}")
    small = right.text_input(
        "Its model, on this machine", model if provider == "local" else "demo", key=f"distil-model-{name}",
        help="A folder or a hub name; the teacher's own, to distil its prompt away. demo is the shipped model",
    )  # fmt: skip
    user = st.text_area("Its user prompt, without shots and passages", user, height=68, key=f"distil-user-{name}")
    system = st.text_area("Its system prompt (empty: none)", system, height=68, key=f"distil-system-{name}")
    keep = st.radio(
        "Which answers it learns",
        list(KEEP),
        format_func=lambda one: KEEP[one][0],
        captions=[takes for _, takes in KEEP.values()],
        horizontal=True,
    )
    answers = int(st.number_input("Answers a row, all alike", 2, 9, 3)) if keep == "agreement" else 1
    st.caption(plain(_paid(name, provider, rows, answers)))
    st.caption(LICENCE)
    prompt = {"user": user, **({"system": system} if system.strip() else {})}
    tune = {"teacher": name, "keep": keep, **({"answers": answers} if keep == "agreement" else {})}
    return {"name": called.strip(), "model": f"local/{small.strip()}", "prompt": prompt, "tune": tune}


def _paid(name: str, provider: str, rows: int, answers: int) -> str:
    each = f" {answers} times each, {rows * answers:,} calls" if answers > 1 else f", {rows:,} calls"
    first = f"{name} is first asked about the {rows:,} training rows{each}"
    if provider == "local":
        return f"{first}, on this machine: no provider bills anything. Then the student is tuned on its answers."
    return (
        f"{first}. They are billed as any others: they are in the estimate and under the limit that Run shows before the"
        " start, and what the cache has isn't asked again. Then the student is tuned on the answers, on this machine."
    )


def outcome(comparison: Comparison) -> None:
    """Each distillation in sentences, and teacher, student before and after side by side."""
    for one in comparison.distillations:
        st.header(f"Distilled: {plain(one.teacher)} into {plain(one.student)}", anchor=False)
        for sentence in sentences(one, comparison):
            st.text(sentence)
        _side_by_side(one, comparison)
    if comparison.distillations:
        st.caption(LICENCE)


def _side_by_side(one: Distillation, comparison: Comparison) -> None:
    import pandas as pd

    by_name = {each.name: each for each in comparison.candidates}
    parts = [("teacher", one.teacher), ("student before", one.before), ("student after", one.student)]
    rows = [
        {
            "": part,
            "candidate": name,
            "accuracy": figures.accuracy(by_name[name]),
            "tokens a request": figures.count(one.tokens_a_request.get(name)),
            "p50": _p50(by_name[name]),
            "$ per 1,000": figures.dollars(by_name[name].cost_per_1k_usd),
            "to make it": figures.dollars(by_name[name].training_cost_usd) if name == one.student else "",
        }
        for part, name in parts
        if name is not None
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        alt=f"{one.teacher} as the teacher beside {one.student}, before and after its training.",
    )


def _p50(one: CandidateFigures) -> str:
    if one.latency_s is None and one.batch:
        return "not measured (batch)"
    return figures.seconds(one.latency_s.p50 if one.latency_s else None)


def downloads(store: Store, report: Report) -> None:
    """What each student learned, to tune with elsewhere: made when it is asked for."""
    for one in report.comparison.distillations:
        if not one.kept:
            continue
        st.download_button(
            f"JSONL: what {plain(one.student)} learned",
            partial(distilled_set, store, report.run.id, one.student),
            f"{report.run.id}-distilled.jsonl",
            "application/jsonl",
            on_click="ignore",
            key=state.of_run(f"{state.DISTILLED}-{one.student}", report.run.id),
            help="OpenAI's chat format, a row a line",
        )
