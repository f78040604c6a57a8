"""A comparison file while it is edited in the pages: kept in the store, possibly incomplete, always the file's keys."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from ftvp_core.candidates.suggestion import suggested_mode
from ftvp_core.data.checks import check, without_leaks
from ftvp_core.data.examples import to_examples
from ftvp_core.data.formats import fitting
from ftvp_core.data.rows import Table
from ftvp_core.data.safely import VERSION, read_knowledge_safely, read_table_safely
from ftvp_core.errors import UserError
from ftvp_core.models.constrained import runnable
from ftvp_core.models.local import context_window
from ftvp_core.schemas import inferred
from ftvp_core.spec import EvalSetSpec, KnowledgeSpec, Spec, TrainSetSpec, dump, parse
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.types import Example, ExampleSet, Finding, Knowledge

Part = Literal["eval_set", "train_set", "forgetting_set"]
Keys = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a draft's file was read. `problem` says why there are no examples, in one line.

    `formats` are all that the file fits, the surest first.
    """

    table: Table
    examples: ExampleSet | None
    problem: str | None
    formats: tuple[str, ...]


def new_draft(store: Store, keys: Mapping[str, Any] | None = None) -> str:
    """Keep a new draft and return its id."""
    draft_id = secrets.token_hex(6)
    store.keep_draft(draft_id, keys or {"name": "new comparison"})
    return draft_id


def draft_keys(store: Store, draft_id: str) -> Keys:
    """A draft's keys. Raises UserError."""
    keys = store.draft(draft_id)
    if keys is None:
        raise UserError(f"draft {draft_id}", "is not in the store", "start a new comparison")
    return keys


def change(store: Store, draft_id: str, **parts: Any) -> None:
    """Set top-level keys of a draft; None removes one."""
    keys = {**draft_keys(store, draft_id), **parts}
    store.keep_draft(draft_id, {key: value for key, value in keys.items() if value is not None})


def change_part(store: Store, draft_id: str, part: str, **given: Any) -> None:
    """Set keys inside a draft's `run` or `prices`; None removes one, and the part with its last."""
    kept = {**draft_keys(store, draft_id).get(part, {}), **given}
    change(store, draft_id, **{part: {key: value for key, value in kept.items() if value is not None} or None})


def keep_uploads(files: Mapping[str, bytes]) -> Path:
    """Save uploaded files by name: one as itself, several as a folder of their own, named by their content."""
    if len(files) == 1:
        return keep_upload(*next(iter(files.items())))
    content = hashlib.sha256()
    for name, part in sorted(files.items()):
        content.update(f"{name} {len(part)} ".encode() + part)
    folder = home() / "uploads" / content.hexdigest()[:16] / "knowledge"
    for name, part in files.items():
        _save(folder / _safe(name), part)
    return folder


def keep_upload(name: str, content: bytes) -> Path:
    """Save an uploaded file under its content's hash: the same file twice is one, a changed one is another."""
    path = home() / "uploads" / hashlib.sha256(content).hexdigest()[:16] / _safe(name)
    _save(path, content)
    return path


def without_folders(text: str) -> str:
    """An error's text with uploads by the names that their owner knows: the store's own folder is no news to them."""
    return re.sub(rf"{re.escape(str(home() / 'uploads'))}/[0-9a-f]{{16}}/", "", text)


def _safe(name: str) -> str:
    """A file's own name: no folder of the visitor's choosing, and not hidden."""
    return Path(name).name.lstrip(".") or "upload"


def _save(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.replace(path)


def read_part(keys: Keys, part: Part) -> Reading | None:
    """A draft's eval or training set, as it is read now; None where none is named. Raises UserError for the file."""
    if part not in keys:
        return None
    spec = _part_spec(keys, part)
    table = read_upload(Path(spec.path), spec.encoding)
    formats = fitting(table)
    try:
        return Reading(table, to_examples(table, spec), None, formats)
    except UserError as error:
        return Reading(table, None, str(error), formats)


def read_as(keys: Keys, part: Part, table: Table, format_: str, rows: int) -> Sequence[Example]:
    """The first rows of a draft's file as another of its formats reads them. Raises UserError."""
    spec = _part_spec(keys, part).model_copy(update={"format": format_, "input": None, "reference": None})
    return to_examples(replace(table, rows=table.rows[:rows]), spec).examples[:rows]


def _part_spec(keys: Keys, part: Part) -> TrainSetSpec:
    return TrainSetSpec(**keys[part]) if part == "train_set" else EvalSetSpec(**keys[part])


def read_knowledge(keys: Keys) -> Knowledge | None:
    """A draft's knowledge, as it is read now; None where none is named. Raises UserError."""
    if "knowledge" not in keys:
        return None
    spec = KnowledgeSpec(**keys["knowledge"])
    return read_knowledge_upload(Path(spec.path), spec)


def read_upload(path: Path, encoding: str | None) -> Table:
    """A table, parsed in a child process, once: an upload never changes. Raises UserError."""
    return read_table_safely(path, encoding, _kept(path, encoding or "detected"))


def read_knowledge_upload(path: Path, spec: KnowledgeSpec) -> Knowledge:
    """Knowledge, likewise. Raises UserError."""
    return read_knowledge_safely(path, spec, _kept(path, f"{spec.chunk_tokens}-{spec.overlap}"))


def _kept(path: Path, how: str) -> Path | None:
    """Where an upload's reading is kept: hidden beside it. None for files elsewhere, which may change."""
    if not path.exists() or not path.resolve().parent.is_relative_to((home() / "uploads").resolve()):
        return None
    return path.with_name(f".{hashlib.sha256(f'{path.name} {how}'.encode()).hexdigest()[:16]}.read{VERSION}")


def findings(keys: Keys) -> Sequence[Finding]:
    """What the checks say of the draft's data; nothing where it can't be read yet."""
    evaluated, trained = read_part(keys, "eval_set"), read_part(keys, "train_set")
    if evaluated is None or evaluated.examples is None:
        return ()
    train_set = trained.examples if trained else None
    return check(evaluated.examples, train_set, systems=systems(keys), window=window(keys))


def systems(keys: Keys) -> Mapping[str, str | None]:
    """Each candidate's system prompt."""
    return {
        one["name"]: (one.get("prompt") or {}).get("system") for one in keys.get("candidates", ()) if one.get("model")
    }


def window(keys: Keys) -> int | None:
    """The most tokens that all candidates whose limit is known can take: a local model's context, a tune's rows."""
    found = []
    for one in keys.get("candidates", ()):
        provider, _, name = (one.get("model") or "").partition("/")
        if provider == "local":
            found += [context_window(name, home() / "uploads"), (one.get("tune") or {}).get("max_length")]
    return min((one for one in found if one), default=None)


def put_candidate(keys: Keys, candidate: Mapping[str, Any]) -> list[Keys]:
    """The draft's candidates with this one added, or in the place of the one of its name."""
    candidates: list[Keys] = list(keys.get("candidates", ()))
    names = [one["name"] for one in candidates]
    if candidate["name"] in names:
        candidates[names.index(candidate["name"])] = dict(candidate)
        return candidates
    return [*candidates, dict(candidate)]


def without_candidate(keys: Keys, name: str) -> list[Keys]:
    return [one for one in keys.get("candidates", ()) if one["name"] != name]


def suggested_search(knowledge: Keys) -> tuple[str, str]:
    """The retrieval mode that suits a knowledge's language, and why in a sentence. Raises UserError for its files."""
    found = read_knowledge({"knowledge": knowledge})
    return suggested_mode(passage.text for passage in found.passages) if found else ("dense", "")


def output_schema(text: str, model: str) -> Keys:
    """A candidate's output schema as it is typed. Raises UserError with the exact place of a mistake."""
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"line {error.lineno}, column {error.colno}", f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UserError("the output schema", f"not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise UserError("the output schema", "found no object", 'begin with {"type": "object"')
    runnable(schema, "output_schema", model.partition("/")[0])
    return schema


def suggested_schema(examples: ExampleSet) -> Keys | None:
    """A schema of all references, where each is a JSON object or list."""
    return inferred(reference for example in examples.examples for reference in example.references)


def names_gold(keys: Keys) -> bool:
    """Whether the draft's eval set says which passages should be retrieved."""
    if keys.get("eval_set", {}).get("gold"):
        return True
    reading = read_part(keys, "eval_set")
    return bool(reading and reading.examples and any(example.gold for example in reading.examples.examples))


def check_so_far(keys: Keys) -> None:
    """Whether the draft is valid as far as it goes. Raises UserError."""
    whole = dict(keys)
    for part in ("eval_set", "train_set", "knowledge"):  # missing ones are asked for where the run starts
        whole.setdefault(part, {"path": "not chosen yet"})
    to_spec(whole)


def rows_to_label(keys: Keys) -> int | None:
    """How many of the training set's rows a teacher would label; None where there is none. Raises UserError."""
    trained, evaluated = read_part(keys, "train_set"), read_part(keys, "eval_set")
    if trained is None or trained.examples is None:
        return None
    if evaluated is None or evaluated.examples is None:
        return len(trained.examples.examples)
    return len(without_leaks(trained.examples, evaluated.examples))


def to_spec(keys: Keys) -> Spec:
    """The draft as a whole comparison file. Raises UserError, with what is missing."""
    for part, page in (("eval_set", "upload one on Data"), ("candidates", "define one on Candidates")):
        if not keys.get(part):
            raise UserError("this comparison", f"has no {part}", page)
    return parse(yaml.safe_dump(keys, allow_unicode=True, sort_keys=False), "this comparison")


def to_text(keys: Keys) -> str:
    """The comparison file's text, complete or not."""
    text: str = yaml.safe_dump(keys, allow_unicode=True, sort_keys=False)
    return text


def from_text(text: str) -> Keys:
    """A comparison file's keys, defaults left out. Raises UserError."""
    keys: Keys = yaml.safe_load(dump(parse(text, "the comparison file")))
    return keys
