"""A draft's candidates: changed under those that refer to them, and what one click adds beside one."""

from collections.abc import Mapping
from typing import Any

from ftvp_core.candidates.prompt import without_context
from ftvp_core.drafts import Keys, check_so_far, put_candidate, without_candidate
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate


def added(keys: Keys, candidate: Mapping[str, Any]) -> list[Keys]:
    """The draft's candidates with a new one. Raises UserError where its name is taken: nothing is replaced unasked."""
    _check_free(keys, {candidate["name"]})
    return put_candidate(keys, candidate)


def edited(keys: Keys, name: str, candidate: Keys) -> Keys:
    """The parts of the draft that change when a candidate is edited, under its name or another.

    Its sweeps and students follow a new name. What one click added beside it (bounds, base) follows in all, unless that
    was edited itself. Raises UserError where the name is taken, or where there would be no such thing beside it.
    """
    there = {one["name"]: one for one in keys["candidates"]}
    if name not in there:
        raise UserError(f"candidate {name}", "is no longer there", "add it again")
    now = {name: candidate}
    beside = _beside(candidate)
    for part, before in _beside(there[name]).items():
        kept = there.get(before["name"])
        if kept is None or Candidate(**kept) != Candidate(**before):
            continue
        if part not in beside:
            raise UserError(f"candidate {name}", f"is what {kept['name']} is compared with", "remove that one first")
        now[kept["name"]] = beside[part]
    names = {old: new["name"] for old, new in now.items()}
    _check_free({"candidates": [one for old, one in there.items() if old not in names]}, set(names.values()))
    sweeps = [{**one, "candidate": names.get(one["candidate"], one["candidate"])} for one in keys.get("sweeps", ())]
    candidates = [_taught(now.get(old, one), names) for old, one in there.items()]
    return {"candidates": candidates, "sweeps": sweeps or None}


def removed(keys: Keys, name: str) -> Keys:
    """The parts of the draft that change when a candidate goes: its sweeps go too."""
    left = [sweep for sweep in keys.get("sweeps", ()) if sweep["candidate"] != name]
    return {"candidates": without_candidate(keys, name), "sweeps": left or None}


def bounds_of(candidate: Mapping[str, Any]) -> tuple[Keys, Keys]:
    """What a RAG candidate lies between: given the gold passages, no search can do better; given none, it is no use."""
    oracle = {
        **candidate,
        "name": f"{candidate['name']}, gold passages",
        "retrieval": {**candidate["retrieval"], "oracle": True},
    }
    closed = {key: value for key, value in candidate.items() if key not in {"retrieval", "prompt"}}
    prompt = {part: without_context(text) for part, text in candidate.get("prompt", {}).items() if text}
    prompt = {part: text for part, text in prompt.items() if text}
    closed = {**closed, "name": f"{candidate['name']}, closed book", **({"prompt": prompt} if prompt else {})}
    return oracle, closed


def base_of(keys: Keys, candidate: Keys) -> Keys | None:
    """The same candidate without its tuning; None where it has none, or its base is there."""
    tuned = Candidate(**candidate)
    there = keys.get("candidates", ())
    if not tuned.is_tuned_here or any(Candidate(**one).asks_as(tuned.base()) for one in there):
        return None
    base = _untuned(candidate)
    names = {one["name"] for one in there}
    while base["name"] in names:
        base["name"] += "'"
    return base


def bare_prompt(keys: Keys, candidate: Mapping[str, Any]) -> tuple[str, str]:
    """A prompt without the candidate's instructions, shots and passages: system (none) and user."""
    column = keys.get("eval_set", {}).get("input", "input")
    user = without_context(candidate.get("prompt", {}).get("user") or f"{{{column}}}")
    return "", user or f"{{{column}}}"


def with_student(keys: Keys, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> list[Keys]:
    """The draft's candidates with a student, and with its base, unless one that asks the same is there.

    A student answers as its teacher is asked to, in what its sampling says of an answer's end. Raises UserError where
    its name is taken, or anything in it is wrong.
    """
    ends = {key: value for key, value in teacher.get("sampling", {}).items() if key in {"max_tokens", "stop"}}
    student = {**student, **({"sampling": ends} if ends else {})}
    check_so_far({**keys, "candidates": added(keys, student)})
    base = base_of(keys, student)
    candidates = put_candidate(keys, base) if base else keys.get("candidates", ())
    return put_candidate({"candidates": candidates}, student)


def _beside(candidate: Keys) -> dict[str, Keys]:
    """What one click adds beside a candidate, by what it is."""
    found: dict[str, Keys] = {}
    retrieval = candidate.get("retrieval")
    if retrieval is not None and not retrieval.get("oracle"):
        found["oracle"], found["closed book"] = bounds_of(candidate)
    if candidate.get("tune") is not None or candidate.get("adapter"):
        found["base"] = _untuned(candidate)
    return found


def _untuned(candidate: Keys) -> Keys:
    kept = {key: value for key, value in candidate.items() if key not in {"tune", "adapter"}}
    return {**kept, "name": f"{candidate['name']}, base"}


def _taught(candidate: Keys, names: Mapping[str, str]) -> Keys:
    """A student by its teacher's new name."""
    tune = candidate.get("tune") or {}
    if tune.get("teacher") not in names:
        return candidate
    return {**candidate, "tune": {**tune, "teacher": names[tune["teacher"]]}}


def _check_free(keys: Keys, names: set[str]) -> None:
    """Raises UserError where one of the names is taken."""
    taken = sorted(names & {one["name"] for one in keys.get("candidates", ())})
    if taken:
        raise UserError(f"candidate {taken[0]}", "is there already", "choose another name, or edit that one")
