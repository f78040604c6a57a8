"""A draft's sweeps, and the learning curves that are made of them."""

from collections.abc import Sequence
from typing import Any, Literal

from ftvp_core.data.checks import labels_of, without_leaks
from ftvp_core.drafts import Keys, put_candidate, read_part
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate, swept

#: How a learning curve's sizes are chosen: shares of all rows, or rows of each label; and all of them.
Sizes = Literal["shares", "rows a label"]
SHARES = (0.10, 0.25, 0.50)
ROWS_A_LABEL = (5, 10, 25)
#: Numbers that are swept most, and values to begin with.
SWEEPABLE: dict[str, Sequence[float]] = {
    "tune.rank": (4, 8, 16, 32),
    "tune.learning_rate": (5e-5, 1e-4, 2e-4, 5e-4),
    "tune.epochs": (1, 2, 3, 5),
    "shots.k": (0, 1, 2, 4, 8, 16),
    "retrieval.top_k": (1, 2, 4, 8, 16),
}


def sweepable(candidate: Keys) -> list[str]:
    """The numbers of a candidate that a sweep can change."""
    one = Candidate(**candidate)
    return [over for over in SWEEPABLE if _is_there(one, over)]


def put_sweep(keys: Keys, candidate: str, over: str, values: Sequence[float], seeds: Sequence[int] = ()) -> list[Keys]:
    """The draft's sweeps with this one added, or in the place of that of the same candidate and number."""
    sweep: Keys = {"candidate": candidate, "over": over, "values": list(values)}
    if seeds:
        sweep["seeds"] = list(seeds)
    return [*without_sweep(keys, candidate, over), sweep]


def without_sweep(keys: Keys, candidate: str, over: str) -> list[Keys]:
    return [one for one in keys.get("sweeps", ()) if (one["candidate"], one["over"]) != (candidate, over)]


def learning_curve(keys: Keys, candidate: str, sizes: Sizes, seeds: int) -> Keys:
    """The parts of the draft that change for a tuned candidate's learning curve.

    A floor is swept over the same rows; one is added where there is none and the answers are labels. Raises UserError
    where the training set can't be read, or is too small for the sizes.
    """
    rows, labels = _rows(keys)
    chosen = [round(share * rows) for share in SHARES] if sizes == "shares" else [n * labels for n in ROWS_A_LABEL]
    values = sorted({*(n for n in chosen if 0 < n < rows), rows})
    if len(values) < 4:
        raise UserError("the training set", f"has {rows} rows: too few for these sizes", "choose others, or add rows")
    numbers = list(range(seeds))
    changed: dict[str, Any] = {"sweeps": put_sweep(keys, candidate, "tune.examples", values, numbers)}
    if not labels:
        return changed
    floors = [one["name"] for one in keys["candidates"] if one.get("floor")]
    if not floors:
        floors = ["linear SVM"]
        changed["candidates"] = put_candidate(keys, {"name": floors[0], "floor": "tfidf-svm"})
    for floor in floors:
        changed["sweeps"] = put_sweep({**keys, **changed}, floor, "train.rows", values, numbers)
    return changed


def _rows(keys: Keys) -> tuple[int, int]:
    """How many rows can be trained on, and their labels; 0 where the answers are no labels. Raises UserError."""
    trained, evaluated = read_part(keys, "train_set"), read_part(keys, "eval_set")
    if trained is None or trained.examples is None or evaluated is None or evaluated.examples is None:
        raise UserError("a learning curve", "needs an eval set and a training set that can be read", "see Data")
    able = [one for one in without_leaks(trained.examples, evaluated.examples) if one.references]
    return min(len(able), keys["train_set"].get("limit") or len(able)), len(labels_of(trained.examples) or ())


def _is_there(candidate: Candidate, over: str) -> bool:
    try:
        swept(candidate, over, SWEEPABLE[over][-1])
    except KeyError:
        return False
    return True
