"""Drafts and uploads: what the pages edit is the comparison file."""

import subprocess
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


def test_an_upload_is_parsed_once_and_read_as_it_was_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        "eval_set": {"path": str(drafts.keep_upload("e.csv", "질문,답\n카드가 안 와요,배송\n".encode("cp949")))},
        "knowledge": {"path": str(drafts.keep_uploads({"a.md": b"# One\nText.", "empty.txt": b" "}))},
    }
    first, knowledge = drafts.read_part(keys, "eval_set"), drafts.read_knowledge(keys)
    assert first is not None and first.examples is not None and knowledge is not None
    assert (first.table.encoding, first.examples.examples[0].input) == ("cp949", "카드가 안 와요")
    assert [one.text for one in knowledge.passages] == ["One\nText."] and knowledge.empty == ("empty.txt",)

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a child was started again")

    monkeypatch.setattr(subprocess, "run", started)
    assert (drafts.read_part(keys, "eval_set"), drafts.read_knowledge(keys)) == (first, knowledge)
    with pytest.raises(AssertionError):
        drafts.read_part({"eval_set": {**keys["eval_set"], "encoding": "euc-kr"}}, "eval_set")


def test_an_upload_that_cannot_be_read_says_so_on_every_visit(store: Store) -> None:
    keys = {"eval_set": {"path": str(drafts.keep_upload("scan.csv", b"%PDF-1.7"))}}
    for _ in range(2):
        with pytest.raises(UserError, match=r"scan\.csv: is a PDF.*upload it as knowledge"):
            drafts.read_part(keys, "eval_set")


def test_rows_longer_than_a_candidates_model_takes_are_found_before_it_runs(store: Store, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text('{"max_position_embeddings": 64}')
    (tmp_path / "small" / "model.safetensors").write_bytes(b"")
    path = drafts.keep_upload("e.csv", ("text,label\nshort,a\n" + "long words " * 40 + ",b\n").encode())
    keys = {"eval_set": {"path": str(path)}, "candidates": [{"name": "m", "model": f"local/{tmp_path}/small"}]}
    found = {one.id: one for one in drafts.findings(keys)}
    assert found["too-long"].rows == (2,)
    assert "64 tokens" in found["too-long"].message and "bytes ÷ 4" in found["too-long"].message
    assert "too-long" not in {one.id for one in drafts.findings({"eval_set": keys["eval_set"]})}
