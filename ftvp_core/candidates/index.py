"""Texts in an embedded Chroma, found again by meaning. Vectors are ours: nothing is downloaded.

A collection is named by its content, so opening it again costs nothing and a changed text gets another. It is
complete or rebuilt: what was stored is counted at every open. One process at a time opens the folder's writer, and
none reads a collection that another still writes to.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]

#: The offline embedder: its model is in the wheel.
EMBEDDER = "wordllama"
EMBED_BATCH = 1024
#: Chroma takes at most 5,461 rows a call.
STORE_BATCH = 4096
#: Texts of a query's batch whose similarities are held at once.
QUERY_BATCH = 256


class ChromaIndex:
    """Texts of one collection. Neighbours are exact: the stored vectors are compared with the query's in full.

    At the sizes of this product (to some 100,000 passages) that takes milliseconds, and an approximate search may
    miss a row that is asked for in its own words.
    """

    def __init__(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._vectors = vectors
        self._position = {text: at for at, text in reversed(list(enumerate(texts)))}

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        found: list[list[int]] = []
        for start in range(0, len(texts), QUERY_BATCH):
            batch = texts[start : start + QUERY_BATCH]
            similar = embed(batch) @ self._vectors.T
            for row, text in zip(similar, batch, strict=True):
                if (own := self._position.get(text)) is not None:
                    row[own] = 2.0  # a bag of words can't tell a text from its words in another order; the text can
                found.append(_best(row, min(k, len(row))))
        return found


def chroma_index(texts: Sequence[str], folder: Path, progress: Progress) -> ChromaIndex:
    """Open the index of these texts below `folder`, building it where it isn't there whole."""
    import chromadb
    from chromadb.config import Settings
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "ftvp.lock"):
        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        try:
            collection = _whole(client, texts, progress)
            vectors = _stored(collection, len(texts))
        finally:
            client.close()
    return ChromaIndex(texts, vectors)


def embed(texts: Sequence[str]) -> Vectors:
    """Unit vectors, one a text. A text without a known word has none: its vector is 0."""
    model = _embedder()
    parts = [model.embed(list(texts[at : at + EMBED_BATCH])) for at in range(0, len(texts), EMBED_BATCH)]
    vectors: Vectors = np.concatenate(parts).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


@cache
def _embedder() -> Any:
    """Loaded once a process. Without `cache_dir` it looks for its own files where a download would put them."""
    import wordllama

    package = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=package, disable_download=True)


def _whole(client: Any, texts: Sequence[str], progress: Progress) -> Any:
    name = _name(texts)
    collection = client.get_or_create_collection(
        name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    if collection.count() == len(texts):
        return collection
    client.delete_collection(name)  # a process was killed while it wrote
    collection = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    for start in range(0, len(texts), STORE_BATCH):
        batch = texts[start : start + STORE_BATCH]
        ids = [f"{at:08}" for at in range(start, start + len(batch))]
        collection.add(ids=ids, embeddings=embed(batch), documents=list(batch))
        progress(start + len(batch), len(texts))
    return collection


def _stored(collection: Any, n: int) -> Vectors:
    """All vectors in the texts' order."""
    vectors: list[Vectors] = []
    for start in range(0, n, STORE_BATCH):
        ids = [f"{at:08}" for at in range(start, min(n, start + STORE_BATCH))]
        rows = collection.get(ids=ids, include=["embeddings"])
        by_id = dict(zip(rows["ids"], rows["embeddings"], strict=True))
        vectors.append(np.asarray([by_id[id_] for id_ in ids], dtype=np.float32))
    return np.concatenate(vectors)


def _name(texts: Sequence[str]) -> str:
    content = json.dumps([EMBEDDER, version("wordllama"), list(texts)])
    return f"texts-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _best(similar: Vectors, k: int) -> list[int]:
    """The positions of the k most similar, best first; of equals the first one."""
    nearest = np.argpartition(-similar, k - 1)[:k]
    ordered: list[int] = nearest[np.lexsort((nearest, -similar[nearest]))].tolist()
    return ordered
