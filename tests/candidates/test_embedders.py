"""Sentence encoders by folder: pooled as they say, known by their content, refused where they ask for more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftvp_core.__main__ import main
from ftvp_core.candidates.embedders import CLS, MEAN, MODULES, POOLING, Offline, check_local_model, open_embedder
from ftvp_core.errors import UserError
from ftvp_core.store.opening import open_store
from tests.fault_server import fault_server

TEXTS = ["a refund", "where is my parcel?", "카드를 정지하세요", "", "a " * 100]


def make_encoder(folder: Path, *, seed: int = 0, pooling: str | None = None, then: str = "Normalize") -> Path:
    """A random BERT of two layers over bytes, with 64 positions; with `pooling`, as sentence-transformers saves it."""
    import torch
    from transformers import BertConfig, BertModel

    from tests.tiny_model import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        pad_token_id=0,
    )
    BertModel(config).save_pretrained(folder)
    if pooling:
        (folder / POOLING).parent.mkdir()
        (folder / POOLING).write_text(
            json.dumps({"word_embedding_dimension": 32, MEAN: pooling == MEAN, CLS: pooling == CLS})
        )
        kinds = ("Transformer", "Pooling", then)
        (folder / MODULES).write_text(json.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]))
    return folder


def alone(folder: Path, text: str) -> Any:
    """The last layer's vectors of one text, by transformers itself, nothing padded."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        return AutoModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0].numpy()


@pytest.mark.parametrize("pooling", [None, MEAN, CLS])
def test_vectors_are_the_mean_or_the_first_tokens_whatever_stands_beside(tmp_path: Path, pooling: str | None) -> None:
    folder = make_encoder(tmp_path / "encoder", pooling=pooling)
    texts = [text for text in TEXTS if text]
    vectors = open_embedder("local/encoder", tmp_path).embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        states = alone(folder, text)
        expected = states[0] if pooling == CLS else states.mean(0)
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_a_text_without_a_token_has_no_vector_and_a_long_one_is_cut(tmp_path: Path) -> None:
    make_encoder(tmp_path / "encoder")
    vectors = open_embedder("local/./encoder", tmp_path).embed(["", "a " * 100, "a " * 32])
    assert vectors[0].tolist() == [0.0] * 32
    assert vectors[1] == pytest.approx(vectors[2], abs=1e-5)


def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    first, second = make_encoder(tmp_path / "a"), make_encoder(tmp_path / "b")
    other = make_encoder(tmp_path / "c", seed=1)
    same, also, another = (open_embedder(f"local/{folder}", tmp_path).identity for folder in (first, second, other))
    assert same == also != another
    assert Offline().identity.startswith("wordllama 0.4")


@pytest.mark.parametrize(
    ("pooling", "then", "said"), [(MEAN, "Dense", "Dense"), ("neither", "Normalize", "expected the mean")]
)
def test_a_model_that_does_more_is_refused(tmp_path: Path, pooling: str, then: str, said: str) -> None:
    make_encoder(tmp_path / "encoder", pooling=pooling, then=then)
    with pytest.raises(UserError, match=said):
        open_embedder("local/encoder", tmp_path)


def test_a_folder_that_is_not_there_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    check_local_model("default", tmp_path)
    for name in ("local/./nowhere", f"local/{tmp_path}/none"):
        with pytest.raises(UserError, match="there is no folder"):
            check_local_model(name, tmp_path)


def test_a_run_searches_with_the_folders_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    make_encoder(tmp_path / "encoder")
    (tmp_path / "k.csv").write_text("text\nthe parcel left\na refund takes three days\nopen until six\n")
    (tmp_path / "e.csv").write_text("question,answer\ntext: a refund takes three days,yes\n")
    with fault_server(latency_s=0.0) as server:
        (tmp_path / "c.yaml").write_text(
            f'eval_set: {{path: e.csv}}\nknowledge: {{path: k.csv}}\nproviders: {{one: {{base_url: "{server.url}"}}}}\n'
            "candidates: [{name: rag, model: one/m, retrieval: {embedder: local/encoder, top_k: 1}}]\n"
        )
        assert main(["run", str(tmp_path / "c.yaml")]) == 0
        assert server.asked[0].startswith("text: a refund takes three days\n\n")
    (found,) = open_store().results(open_store().runs()[0].id)
    assert found.passages == ["k.csv#2"]
