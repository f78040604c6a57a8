"""New editions of a draft's data: cleaned, or split into two. The files that they are made from stay.

An edition is a file among the uploads, with a note beside it of what it was made from: that is the way back.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ftvp_core.data.examples import recorded_csv
from ftvp_core.data.formats.own import to_jsonl
from ftvp_core.data.mending import can_mend, mend
from ftvp_core.data.splits import split
from ftvp_core.drafts import Keys, Part, change, draft_keys, keep_upload, put_candidate, read_part, window
from ftvp_core.errors import UserError
from ftvp_core.store.store import Store
from ftvp_core.types import Example, ExampleSet, Finding

#: A part's keys that name columns or a format of the file it was, and mean nothing in an edition.
OF_THE_FILE = {"path", "format", "input", "reference", "id", "group", "gold", "encoding"}
RECORDED = "recorded answers"


@dataclass(frozen=True, slots=True)
class Note:
    """What an edition is: one sentence, and the draft's parts as they were before it."""

    said: str
    before: Keys


def note_of(keys: Keys, part: Part) -> Note | None:
    """The note of a part's file, if it is an edition."""
    beside = _beside(Path(keys[part]["path"])) if part in keys else None
    return Note(**json.loads(beside.read_text(encoding="utf-8"))) if beside and beside.exists() else None


def mendable(finding: Finding) -> bool:
    """Whether one click can mend this."""
    return can_mend(finding.id)


def keep_mended(store: Store, draft_id: str, finding_id: str) -> None:
    """Use a version of the set that a finding is of, with what was found mended. Raises UserError."""
    keys = draft_keys(store, draft_id)
    evaluated, trained = _examples(keys, "eval_set"), _examples(keys, "train_set")
    mended = mend(finding_id, evaluated, trained, window=window(keys)) if evaluated else None
    if mended is None:
        raise UserError(f"finding {finding_id}", "can't be mended here", "mend the file and upload it again")
    part: Part = "train_set" if mended.part == "train" else "eval_set"
    changed = {part: _edition(keys, part, "cleaned", mended.examples, Note(mended.said, {part: keys[part]}))}
    change(store, draft_id, **changed)


def keep_split(store: Store, draft_id: str, train_share: float, seed: int) -> None:
    """Use a part of the eval set's rows as the training set, and the others as the eval set. Raises UserError."""
    keys = draft_keys(store, draft_id)
    evaluated = _examples(keys, "eval_set")
    if evaluated is None:
        raise UserError("this comparison", "has no eval set that can be read", "upload one")
    parts = split(evaluated, {"train": train_share, "eval": 1 - train_share}, seed)
    if not all(parts.values()):
        raise UserError("split", f"leaves a part of {len(evaluated.examples)} rows empty", "choose another share")
    counts = f"{len(parts['train']):,} rows to train on, {len(parts['eval']):,} to evaluate"
    said = (
        f"Split with seed {seed}: {counts}. Rows of one group, and rows that nearly repeat each other, are on one side."
    )
    note = Note(said, {"eval_set": keys["eval_set"], "train_set": keys.get("train_set")})
    unlimited = {
        **keys,
        "eval_set": {"path": keys["eval_set"]["path"]},
    }  # how many rows are asked is no limit of training
    named: tuple[tuple[Part, str, Keys], ...] = (("eval_set", "eval", keys), ("train_set", "train", unlimited))
    change(store, draft_id, **{part: _edition(of, "eval_set", name, parts[name], note) for part, name, of in named})


def go_back(store: Store, draft_id: str, part: Part) -> None:
    """Use again what an edition was made from."""
    note = note_of(draft_keys(store, draft_id), part)
    if note is not None:
        change(store, draft_id, **note.before)


def add_recorded(store: Store, draft_id: str) -> None:
    """Make a candidate of the answers that the eval set's file holds. Raises UserError."""
    keys = draft_keys(store, draft_id)
    evaluated = _examples(keys, "eval_set")
    answers = recorded_csv(evaluated) if evaluated else None
    if answers is None:
        raise UserError("the eval set", "holds no recorded answers")
    path = keep_upload(f"{Path(keys['eval_set']['path']).stem}.answers.csv", answers.encode())
    change(store, draft_id, candidates=put_candidate(keys, {"name": RECORDED, "recorded": str(path)}))


def _examples(keys: Keys, part: Part) -> ExampleSet | None:
    reading = read_part(keys, part)
    return reading.examples if reading else None


def _edition(keys: Keys, part: Part, name: str, examples: Iterable[Example], note: Note) -> Keys:
    """Save the rows as a file of the product's own format, and its note; the keys that name it."""
    stem = Path(keys[part]["path"]).name.partition(".")[0]
    path = keep_upload(f"{stem}.{name}.jsonl", to_jsonl(examples).encode())
    _beside(path).write_text(json.dumps(asdict(note), ensure_ascii=False), encoding="utf-8")
    return {"path": str(path), **{key: value for key, value in keys[part].items() if key not in OF_THE_FILE}}


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.note.json")
