"""A cross-encoder on this machine: the scores that transformers gives each pair alone, and the order that they make."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftvp_core.candidates.reranking import DEPTH, CrossEncoder, Reranked, open_cross_encoder
from ftvp_core.errors import CallFailed, UserError

TEXTS = ("the parcel left today", "a refund", "카드를 정지하세요", "open until six " * 9)


def make_cross_encoder(folder: Path, labels: int) -> Path:
    """A random BERT of two layers over bytes, with 64 positions."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from tests.tiny_model import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.5, pad_token_id=0, num_labels=labels,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("labels", [1, 2])
def test_scores_are_those_of_each_pair_alone(tmp_path: Path, labels: int) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = make_cross_encoder(tmp_path / "m", labels)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    asked = [("where is it?", TEXTS), ("돈?", TEXTS[:2])]
    for (question, texts), scores in zip(asked, CrossEncoder(folder).rank(asked), strict=True):
        for text, score in zip(texts, scores, strict=True):
            pair = tokenizer(question, text, truncation="only_second", max_length=64, return_tensors="pt")
            with torch.no_grad():
                logits = model(**pair).logits[0]
            alone = logits[0] if labels == 1 else logits[1] - logits[0]
            assert score == pytest.approx(float(alone), abs=1e-4)


def test_a_folder_that_holds_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(UserError, match="config"):
        open_cross_encoder("local/m", tmp_path)


class InOrder:
    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int]] = []

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        self.asked.append((list(texts), k))
        return [[] if text == "nothing" else list(range(k)) for text in texts]


def test_the_best_of_four_times_as_many_come_first_and_a_question_is_ranked_once() -> None:
    texts = ["x" * (1 + at % 5) for at in range(40)]
    index = InOrder()
    ranked: list[str] = []

    def rank(asked: Sequence[tuple[str, Sequence[str]]]) -> list[Sequence[float] | CallFailed]:
        ranked.extend(question for question, _ in asked)
        return [
            CallFailed("no", outcome="refused") if question == "bad" else [float(len(one)) for one in found]
            for question, found in asked
        ]

    reranked = Reranked(index, texts, rank)
    assert reranked.query(["a", "nothing", "a"], 2) == [[4, 3], [], [4, 3]]
    assert index.asked == [(["a", "nothing"], 2 * DEPTH)]
    with pytest.raises(CallFailed, match="no"):
        reranked.query(["b", "bad"], 2)
    assert reranked.query(["b"], 2) == [[4, 3]]
    with pytest.raises(CallFailed, match="no"):
        reranked.query(["bad"], 2)
    assert ranked == ["a", "b", "bad"]
