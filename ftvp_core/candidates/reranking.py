"""Found passages put in a better order: by a cross-encoder on this machine, or by a server.

A search brings `DEPTH` times as many as are wanted; a model reads each with the question and scores it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ftvp_core.candidates.ranking import Index
from ftvp_core.errors import CallFailed, UserError

#: How many passages are found for each one that is wanted. Nogueira & Cho (2019, arXiv 1901.04085) re-rank 1,000 for
#: 10; a server reads every one of them for money and time, and the first few hold nearly all that can be gained.
DEPTH = 4
#: Pairs that a cross-encoder reads at once.
PAIRS = 32

#: For each question with its passages, a score a passage; or why there is none.
Rank = Callable[[Sequence[tuple[str, Sequence[str]]]], Sequence[Sequence[float] | CallFailed]]


class Reranked:
    """An index whose best are put in order once more. What was ranked is remembered: a row may be asked for again."""

    def __init__(self, index: Index, texts: Sequence[str], rank: Rank) -> None:
        self._index = index
        self._texts = texts
        self._rank = rank
        self._known: dict[tuple[str, int], list[int]] = {}
        self._failed: dict[tuple[str, int], CallFailed] = {}

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        """Raises CallFailed where one can't be ranked; the others are remembered."""
        missing = [text for text in dict.fromkeys(texts) if (text, k) not in self._known | self._failed]
        found = dict(zip(missing, self._index.query(missing, DEPTH * k), strict=True)) if missing else {}
        asked = [(text, [self._texts[at] for at in places]) for text, places in found.items() if places]
        scored = dict(zip((text for text, _ in asked), self._rank(asked), strict=True)) if asked else {}
        for text, places in found.items():
            scores = scored.get(text, ())
            if isinstance(scores, CallFailed):
                self._failed[text, k] = scores
                continue
            order = sorted(range(len(places)), key=lambda at: -scores[at])
            self._known[text, k] = [places[at] for at in order[:k]]
        for text in texts:
            if (text, k) in self._failed:
                raise self._failed[text, k]
        return [self._known[text, k] for text in texts]


class CrossEncoder:
    """A transformer that reads question and passage together: one score, or the logit of the last of its classes."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        ).eval()
        positions = getattr(self._model.config, "max_position_embeddings", None)
        self._most = min(self._tokenizer.model_max_length, positions or self._tokenizer.model_max_length)

    def rank(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Sequence[float]]:
        """A passage longer than the model reads beside its question is cut."""
        pairs = [(question, text) for question, texts in asked for text in texts]
        # Pairs of a like length together: little of a batch is padding.
        order = sorted(range(len(pairs)), key=lambda at: len(pairs[at][0]) + len(pairs[at][1]))
        scores = [0.0] * len(pairs)
        for start in range(0, len(order), PAIRS):
            batch = order[start : start + PAIRS]
            for at, score in zip(batch, self._batch([pairs[at] for at in batch]), strict=True):
                scores[at] = score
        each = iter(scores)
        return [[next(each) for _ in texts] for _, texts in asked]

    def _batch(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        import torch

        questions, texts = zip(*pairs, strict=True)
        given = self._tokenizer(
            list(questions),
            list(texts),
            padding=True,
            truncation="only_second",
            max_length=self._most,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = self._model(**given).logits.float()
        scores: list[float] = (logits[:, -1] if logits.shape[1] == 1 else logits[:, -1] - logits[:, 0]).tolist()
        return scores


def open_cross_encoder(name: str, folder: Path) -> CrossEncoder:
    """`local/NAME`: a folder (relative ones are in `folder`) or a hub name. Raises UserError where it is none."""
    from ftvp_core.models.local import base_folder, resolved

    model = base_folder(resolved(name.removeprefix("local/"), folder))
    try:
        return CrossEncoder(model)
    except (OSError, ValueError) as error:
        raise UserError(
            f"retrieval.rerank {name}", f"can't be loaded as a cross-encoder ({type(error).__name__}: {error})"
        ) from None
