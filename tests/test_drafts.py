"""Drafts and uploads: what the pages edit is the comparison file."""

from pathlib import Path

import pytest

from ftvp_core import drafts
from ftvp_core.errors import UserError
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTVP_DATABASE_URL", raising=False)
    return open_store()


def test_an_upload_is_kept_by_its_content_and_never_outside_its_folder(store: Store, tmp_path: Path) -> None:
    path = drafts.keep_upload("../../../etc/eval.csv", b"a,b\n")
    assert path.read_bytes() == b"a,b\n" and path.is_relative_to(tmp_path / "home" / "uploads")
    assert drafts.keep_upload("eval.csv", b"a,b\n") == path
    assert drafts.keep_upload("eval.csv", b"a,c\n") != path


def test_several_files_are_a_folder_of_their_own(store: Store) -> None:
    files = {"a.md": b"one", "../b.md": b"two"}
    folder = drafts.keep_uploads(files)
    assert sorted(path.name for path in folder.iterdir()) == ["a.md", "b.md"]
    assert drafts.keep_uploads(files) == folder != drafts.keep_uploads({**files, "a.md": b"changed"})
    assert drafts.keep_uploads({"a.md": b"one"}).name == "a.md"


def test_the_form_and_the_file_are_the_same_comparison(store: Store) -> None:
    draft_id = drafts.new_draft(store)
    keys = drafts.draft_keys(store, draft_id)
    with pytest.raises(UserError, match="upload one on Data"):
        drafts.to_spec(keys)
    drafts.change(store, draft_id, eval_set={"path": "e.csv"})
    for candidate in (
        {"name": "a", "model": "openai/m"},
        {"name": "b", "model": "openai/m"},
        {"name": "a", "model": "openai/n"},
    ):
        keys = drafts.draft_keys(store, draft_id)
        drafts.change(store, draft_id, candidates=drafts.put_candidate(keys, candidate))
    keys = drafts.draft_keys(store, draft_id)
    assert [(one["name"], one["model"]) for one in keys["candidates"]] == [("a", "openai/n"), ("b", "openai/m")]
    assert drafts.to_spec(drafts.from_text(drafts.to_text(keys))) == drafts.to_spec(keys)
    assert [one["name"] for one in drafts.without_candidate(keys, "a")] == ["b"]


def test_a_draft_that_is_not_there_is_one_line(store: Store) -> None:
    with pytest.raises(UserError, match="draft none"):
        drafts.draft_keys(store, "none")
