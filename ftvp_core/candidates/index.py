"""Texts found again by meaning. Their vectors are kept in Chroma, embedded here or on a server.

A collection belongs to one embedder and is named by it; in it a text's id is its content's hash. So a text is
embedded once, whatever file, version or run brings it; a changed one is added beside it; and what a killed process
left out is added at the next open. Every open counts what it got: it is all of the texts or an error, never fewer.

An embedded folder has one process at a time: a second waits for its lock. The client is closed before the lock is
given back, so nobody reads what was true before another wrote. A server does both by itself.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ftvp_core.candidates.embedders import DEFAULT, Embedder, Vectors, open_embedder
from ftvp_core.candidates.lexical import LexicalIndex
from ftvp_core.candidates.ranking import LIKE, OFFLINE, HybridIndex, Index, best
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.spec import RetrievalSpec

Progress = Callable[[int, int], None]

#: Where Chroma is, if it isn't a folder here: http://HOST:PORT of `chroma run`.
SERVER = "FTVP_CHROMA_URL"
#: Chroma takes at most 5,461 rows a call; of fewer, less is lost when the process is killed.
STORE_BATCH = 1024
#: The least graph that Chroma builds: it isn't searched, and the usual one takes twice as long to write.
GRAPH = {"hnsw": {"ef_construction": 8, "max_neighbors": 4}}
#: Texts of a query's batch whose similarities are held at once: 100 MB of them at 100,000 passages.
QUERY_BATCH = 256


class DenseIndex:
    """Neighbours are exact: the query is compared with every vector.

    At the sizes of this product (to some 100,000 passages) that takes milliseconds, and an approximate search may
    miss a row that is asked for in its own words.
    """

    def __init__(self, texts: Sequence[str], vectors: Vectors, embedder: Embedder) -> None:
        self._vectors = vectors
        self._embedder = embedder
        self._position = {text: at for at, text in reversed(list(enumerate(texts)))}

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        found: list[list[int]] = []
        for start in range(0, len(texts), QUERY_BATCH):
            batch = texts[start : start + QUERY_BATCH]
            similar = self._embedder.embed(batch) @ self._vectors.T
            for row, text in zip(similar, batch, strict=True):
                if (own := self._position.get(text)) is not None:
                    row[own] = 2.0  # a bag of words can't tell a text from its words in another order; the text can
                found.append(best(row, min(k, len(row))))
        return found


def open_index(texts: Sequence[str], retrieval: RetrievalSpec, chroma: Path, models: Path, progress: Progress) -> Index:
    """The index that a candidate's retrieval asks for, built where it isn't there whole.

    `chroma` is the folder of the vectors, `models` the one that a local embedder's path is relative to.
    Raises UserError for an embedder or a server that isn't there.
    """
    if retrieval.mode == "lexical":
        return LexicalIndex(texts)
    dense = dense_index(texts, open_embedder(retrieval.embedder, models), chroma, progress)
    if retrieval.mode == "dense":
        return dense
    return HybridIndex(LexicalIndex(texts), dense, *(OFFLINE if retrieval.embedder == DEFAULT else LIKE))


def dense_index(texts: Sequence[str], embedder: Embedder, folder: Path, progress: Progress) -> DenseIndex:
    """Open the vectors of these texts, embedding those that aren't there. Raises UserError, RunStopped."""
    with _client(folder) as client:
        collection = client.get_or_create_collection(_name(embedder), embedding_function=None, configuration=GRAPH)
        vectors = _completed(collection, texts, embedder, progress)
    return DenseIndex(texts, vectors, embedder)


@contextmanager
def _client(folder: Path) -> Iterator[Any]:
    """Chroma on the server that the environment names, else in the folder, alone."""
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False)
    url = os.environ.get(SERVER)
    if url:
        from httpx import TransportError

        client = _server(url, settings)
        try:
            yield client
        except TransportError as error:
            raise RunStopped(f"the index's server at {url} stopped answering ({type(error).__name__})") from None
        finally:
            client.close()
        return
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "ftvp.lock"):
        client = chromadb.PersistentClient(str(folder), settings=settings)
        try:
            yield client
        finally:
            client.close()


def _server(url: str, settings: Any) -> Any:
    import chromadb

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UserError(SERVER, f"found {url!r}; expected http://HOST:PORT", "start one by `chroma run`")
    is_tls = parts.scheme == "https"
    try:
        return chromadb.HttpClient(parts.hostname, parts.port or (443 if is_tls else 8000), is_tls, settings=settings)
    except ValueError as error:  # what chromadb makes of every failure to connect
        raise UserError(SERVER, f"nothing answers at {url} ({error})", "start it, or unset the variable") from None


def _completed(collection: Any, texts: Sequence[str], embedder: Embedder, progress: Progress) -> Vectors:
    """The texts' vectors in their order, after what was missing has been added."""
    ids = [_id(text) for text in texts]
    distinct = dict(zip(ids, texts, strict=True))
    stored = _stored(collection, list(distinct))
    missing = [id_ for id_ in distinct if id_ not in stored]
    for start in range(0, len(missing), STORE_BATCH):
        batch = missing[start : start + STORE_BATCH]
        own = [distinct[id_] for id_ in batch]
        collection.upsert(ids=batch, embeddings=embedder.embed(own), documents=own)
        progress(len(stored) + start + len(batch), len(distinct))
    stored |= _stored(collection, missing)
    if len(stored) != len(distinct):
        raise RunStopped(
            f"the index holds {len(stored):,} of {len(distinct):,} texts although all were written; "
            f"remove its folder (or the server's collection {collection.name}) and resume"
        )
    return np.stack([stored[id_] for id_ in ids])


def _stored(collection: Any, ids: Sequence[str]) -> dict[str, Vectors]:
    """The vectors that are there, by id."""
    found: dict[str, Vectors] = {}
    for start in range(0, len(ids), STORE_BATCH):
        rows = collection.get(ids=list(ids[start : start + STORE_BATCH]), include=["embeddings"])
        found.update(zip(rows["ids"], np.asarray(rows["embeddings"], dtype=np.float32), strict=True))
    return found


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _name(embedder: Embedder) -> str:
    return f"texts-{hashlib.sha256(embedder.identity.encode()).hexdigest()[:32]}"
