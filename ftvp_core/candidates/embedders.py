"""Who turns texts into vectors, behind one protocol: the offline embedder, or a sentence encoder on this machine."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ftvp_core.errors import CallFailed, RunStopped, UserError
from ftvp_core.spec import DEFAULT, is_remote

Vectors = NDArray[np.float32]

BATCH = 1024
#: Texts that a transformer sees at once.
ENCODER_BATCH = 32
#: Where a sentence encoder says how its tokens' vectors become one, and what comes after its transformer.
POOLING, MODULES = "1_Pooling/config.json", "modules.json"
MEAN, CLS = "pooling_mode_mean_tokens", "pooling_mode_cls_token"


class Embedder(Protocol):
    #: What its vectors depend on: another one's stand in a collection of their own.
    identity: str
    #: How many texts are embedded before their vectors are written: so many a killed process loses.
    batch: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one a text; 0 for a text of which nothing is known."""
        ...


def open_embedder(name: str, folder: Path) -> Embedder:
    """`default`, or `local/NAME`: a sentence encoder's folder (relative ones are in `folder`) or hub name.

    Raises UserError where it isn't there.
    """
    if name == DEFAULT:
        return Offline()
    from ftvp_core.models.local import base_folder, resolved

    model = name.removeprefix("local/")
    encoder = base_folder(resolved(model, folder))
    return Encoder(encoder, _pooling(encoder, model))


def check_local_model(name: str, folder: Path) -> None:
    """Raises UserError for an embedder, or re-ranker, of this machine that isn't there. Imports and loads nothing."""
    if name == DEFAULT or is_remote(name):
        return
    from ftvp_core.models.local import check_folders

    check_folders(name.removeprefix("local/"), None, folder)


class Partly(Exception):
    """Not all texts were embedded: what was, by text, and why no more: a request failed, or the run was stopped."""

    def __init__(self, vectors: Mapping[str, Vectors], failure: CallFailed | RunStopped) -> None:
        super().__init__(str(failure))
        self.vectors = vectors
        self.failure = failure


class Offline:
    """wordllama: 256 numbers a text, the mean of its tokens' vectors; the order of words is lost."""

    batch = BATCH

    def __init__(self) -> None:
        self.identity = f"wordllama {version('wordllama')}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        model = _wordllama()
        parts = [model.embed(list(texts[at : at + BATCH])) for at in range(0, len(texts), BATCH)]
        return unit(np.concatenate(parts).astype(np.float32))


def word_pieces(words: Sequence[str]) -> int:
    """How many tokens the offline embedder makes of the words: few of those it knows."""
    return len(_wordllama().tokenizer.encode(" ".join(words), add_special_tokens=False).ids)


class Encoder:
    """A transformer that encodes sentences, its tokens' vectors averaged, or the first one's alone."""

    batch = BATCH

    def __init__(self, folder: Path, pooling: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.identity = f"encoder {_fingerprint(folder)} {pooling}"
        self._first_only = pooling == CLS
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval()
        positions = getattr(self._model.config, "max_position_embeddings", None)
        self._most = min(self._tokenizer.model_max_length, positions or self._tokenizer.model_max_length)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A text longer than the model reads is cut there: what follows isn't searched."""
        # Texts of a like length together: little of a batch is padding.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        parts = [
            self._batch([texts[at] for at in order[start : start + ENCODER_BATCH]])
            for start in range(0, len(order), ENCODER_BATCH)
        ]
        vectors = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(parts)
        return unit(vectors)

    def _batch(self, texts: Sequence[str]) -> Vectors:
        import torch

        given = self._tokenizer(list(texts), padding=True, truncation=True, max_length=self._most, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**given).last_hidden_state
        if self._first_only:
            pooled = states[:, 0]
        else:
            read = given["attention_mask"].unsqueeze(-1)
            pooled = (states * read).sum(1) / read.sum(1).clamp(min=1)
        vectors: Vectors = pooled.float().numpy()
        return vectors


def unit(vectors: Vectors) -> Vectors:
    """Each of length 1, so that a dot product is a cosine; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled


@cache
def _wordllama() -> Any:
    """Loaded once a process. Without `cache_dir` it looks for its own files where a download would put them."""
    import wordllama

    package = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=package, disable_download=True)


def _pooling(folder: Path, model: str) -> str:
    """How a sentence encoder pools; a plain transformer says nothing, and its mean is taken.

    Raises UserError for a model that does more: its vectors would be others than its makers measured.
    """
    if not (folder / MODULES).is_file():
        return MEAN
    modules = [str(one["type"]).rpartition(".")[2] for one in json.loads((folder / MODULES).read_text())]
    more = set(modules) - {"Transformer", "Pooling", "Normalize"}
    file = folder / POOLING if (folder / POOLING).is_file() else _pooling_from_hub(model)
    asked = [key for key, on in json.loads(file.read_text()).items() if key.startswith("pooling_mode") and on is True]
    if more or asked not in ([MEAN], [CLS]):
        found = ", ".join([*sorted(more), *asked])
        raise UserError(f"embedder local/{model}", f"found {found}; expected the mean or the first token alone")
    return str(asked[0])


def _pooling_from_hub(model: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, POOLING))
    except (OSError, ValueError) as error:  # no network, no such file; no hub name
        raise UserError(f"embedder local/{model}", f"has no {POOLING} ({type(error).__name__})", "add it") from None


def _fingerprint(folder: Path) -> str:
    """Of the files that its vectors depend on: a model trained further in its folder is another."""
    content = hashlib.sha256()
    for pattern in ("config.json", "tokenizer*.json", "*.safetensors"):
        for file in sorted(folder.glob(pattern)):
            with file.open("rb") as opened:
                content.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return content.hexdigest()[:32]
