"""Cleaned and split versions of a draft's data: what is kept, and the way back."""

from pathlib import Path

import pytest

from ftvp_core import drafts, editions
from ftvp_core.errors import UserError
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store

WORDS = "apple berry cherry damson elder fig grape hazel iris juniper".split()  # noqa: SIM905


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    return open_store()


def draft(store: Store, rows: str, train: str | None = None) -> str:
    parts = {"eval_set": rows, **({"train_set": train} if train else {})}
    keys = {part: {"path": str(drafts.keep_upload(f"{part}.csv", text.encode()))} for part, text in parts.items()}
    return drafts.new_draft(store, {"name": "n", **keys})


def read(store: Store, draft_id: str, part: drafts.Part) -> list[str]:
    reading = drafts.read_part(drafts.draft_keys(store, draft_id), part)
    assert reading is not None and reading.examples is not None
    return [one.input for one in reading.examples.examples]


def test_rows_longer_than_a_tune_takes_are_dropped_and_the_file_stays(store: Store) -> None:
    asked = "text,label\n" + "".join(f"where is my {word},a\n" for word in WORDS)
    draft_id = draft(store, asked, "text,label\nshort row,a\nother row,b\n" + "long words " * 60 + ",b\n")
    drafts.change(
        store, draft_id, candidates=[{"name": "m", "model": "local/elsewhere", "tune": {"max_length": 64}}]
    )  # fmt: skip
    before = drafts.draft_keys(store, draft_id)
    assert "train-too-long" in {one.id for one in drafts.findings(before)}
    editions.keep_mended(store, draft_id, "train-too-long")
    assert read(store, draft_id, "train_set") == ["short row", "other row"]
    editions.go_back(store, draft_id, "train_set")
    assert drafts.draft_keys(store, draft_id) == before


def test_a_split_keeps_every_row_once_and_the_columns_that_prompts_name(store: Store) -> None:
    draft_id = draft(store, "frage,label\n" + "".join(f"wo ist {word} heute,{word[0] > 'e'}\n" for word in WORDS))
    limited = {**drafts.draft_keys(store, draft_id)["eval_set"], "limit": 3}
    drafts.change(store, draft_id, eval_set=limited)
    editions.keep_split(store, draft_id, 0.4, seed=3)
    kept = drafts.draft_keys(store, draft_id)
    assert (kept["eval_set"].get("limit"), kept["train_set"].get("limit")) == (3, None)
    trained, evaluated = read(store, draft_id, "train_set"), read(store, draft_id, "eval_set")
    assert (len(trained), len(evaluated)) == (4, 6)
    assert sorted(trained + evaluated) == [f"wo ist {word} heute" for word in WORDS]
    keys = drafts.draft_keys(store, draft_id)
    drafts.change(store, draft_id, candidates=[{"name": "m", "model": "openai/m", "prompt": {"user": "{frage}"}}])
    note = editions.note_of(keys, "eval_set")
    assert note is not None and "seed 3" in note.said


def test_what_has_no_safe_mend_says_so(store: Store) -> None:
    draft_id = draft(store, "text,label\nwhere,a\nwhen,b\n")
    with pytest.raises(UserError, match="can't be mended"):
        editions.keep_mended(store, draft_id, "too-few")
