"""Texts found again by meaning. Their vectors are kept in Chroma, embedded here or on a server.

A collection belongs to one embedder and is named by it; in it a text's id is its content's hash. So a text is
embedded once, whatever file, version or run brings it; a changed one is added beside it, and the old one is forgotten
where no run needs it; and what a killed process left out is added at the next open. Every open counts what it got: it is all of the texts or an error, never fewer.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftvp_core.alone import PATIENT, Unseen, Waiting
from ftvp_core.candidates.chroma import STORE_BATCH, chroma, collection_of, id_of, stored
from ftvp_core.candidates.embedders import Embedder, Partly, Vectors, open_embedder
from ftvp_core.candidates.lexical import LexicalIndex
from ftvp_core.candidates.ranking import HybridIndex, Index, best
from ftvp_core.candidates.remote import Questions, RemoteOf
from ftvp_core.errors import RunStopped, UserError
from ftvp_core.spec import RetrievalSpec, is_remote

Progress = Callable[[int, int], None]

#: The kind of a collection that holds what is searched; others hold what was asked.
TEXTS = "texts"

#: A run has ended when what it no longer needs is removed: its worker has other things to do than wait for long.
FORGETS_WITHIN_S = 10.0
#: Texts of a query's batch whose similarities are held at once: 100 MB of them at 100,000 passages.
QUERY_BATCH = 256
#: A text with itself: a hair above the cosine of any other. A bag of words can't tell a text from its words in another
#: order; the text can.
ITSELF = 1.0001


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
        return [best(row, min(k, len(row))) for row in self.similar(texts)]

    def similar(self, texts: Sequence[str]) -> Iterator[Vectors]:
        """For each text its cosine with each of the indexed ones."""
        for start in range(0, len(texts), QUERY_BATCH):
            batch = texts[start : start + QUERY_BATCH]
            cosines = self._embedder.embed(batch) @ self._vectors.T
            for row, text in zip(cosines, batch, strict=True):
                if (own := self._position.get(text)) is not None:
                    row[own] = ITSELF
                yield row


def open_index(
    texts: Sequence[str],
    retrieval: RetrievalSpec,
    folder: Path,
    models: Path,
    progress: Progress,
    remote_of: RemoteOf | None = None,
    watch: Waiting = PATIENT,
) -> Index:
    """The index that a candidate's retrieval asks for, built where it isn't there whole.

    `folder` is that of the vectors, `models` the one that a local embedder's path is relative to; `watch` sees when
    another process is at work in `folder`. Raises UserError for an embedder or a server that isn't there, CallFailed
    where a server can't embed a passage, RunStopped.
    """
    if retrieval.mode == "lexical":
        return LexicalIndex(texts)
    dense = _dense(texts, retrieval.embedder, folder, models, progress, remote_of, watch)
    if retrieval.mode == "dense":
        return dense
    return HybridIndex(LexicalIndex(texts), dense)


def _dense(
    texts: Sequence[str],
    name: str,
    folder: Path,
    models: Path,
    progress: Progress,
    remote_of: RemoteOf | None,
    watch: Waiting,
) -> DenseIndex:
    if not is_remote(name):
        return dense_index(texts, open_embedder(name, models), folder, progress, watch=watch)
    if remote_of is None:
        raise UserError(
            f"retrieval.embedder {name}", "a server's embeddings are accounted for by a run", "use the command run"
        )
    embedder = remote_of(name)
    return dense_index(texts, embedder, folder, progress, Questions(embedder, folder, watch), watch)


def dense_index(
    texts: Sequence[str],
    embedder: Embedder,
    folder: Path,
    progress: Progress,
    questions: Embedder | None = None,
    watch: Waiting = PATIENT,
) -> DenseIndex:
    """Open the vectors of these texts, embedding those that aren't there; `questions` embeds what is asked.

    Raises UserError, RunStopped, CallFailed.
    """
    with chroma(folder, watch) as client:
        vectors = _completed(client, texts, embedder, progress)
    return DenseIndex(texts, vectors, questions or embedder)


def forget(texts: Sequence[str], folder: Path) -> None:
    """Remove these texts and their vectors, whoever embedded them. Raises UserError, and RunStopped where another
    process stays at work in the folder."""
    ids = [id_of(text) for text in texts]
    with chroma(folder, Unseen(time.monotonic() + FORGETS_WITHIN_S)) as client:
        for collection in client.list_collections():
            if collection.name.startswith(f"{TEXTS}-"):
                for start in range(0, len(ids), STORE_BATCH):
                    there = collection.get(ids=ids[start : start + STORE_BATCH], include=[])["ids"]
                    if there:
                        collection.delete(ids=there)


def _completed(client: Any, texts: Sequence[str], embedder: Embedder, progress: Progress) -> Vectors:
    """The texts' vectors in their order, after what was missing has been added. Raises CallFailed, RunStopped."""
    collection = collection_of(client, TEXTS, embedder.identity)
    places: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        places.setdefault(id_of(text), []).append(at)
    matrix = _Matrix(len(texts), places)
    matrix.fill(stored(collection, list(places)))
    missing = [id_ for id_ in places if id_ not in matrix.filled]
    already = len(matrix.filled)
    progress(already, len(places))
    for start in range(0, len(missing), embedder.batch):
        batch = missing[start : start + embedder.batch]
        _add(collection, [texts[places[id_][0]] for id_ in batch], embedder)
        progress(already + start + len(batch), len(places))
    matrix.fill(stored(collection, missing))
    if len(matrix.filled) != len(places):
        raise RunStopped(
            f"the index holds {len(matrix.filled):,} of {len(places):,} texts although all were written; "
            f"remove its folder (or the server's collection {collection.name}) and resume"
        )
    assert matrix.vectors is not None
    return matrix.vectors


def _add(collection: Any, texts: Sequence[str], embedder: Embedder) -> None:
    """Embed and write; what was embedded before a failure is written too, as it may have been paid for."""
    failure = None
    try:
        vectors = embedder.embed(texts)
    except Partly as partly:
        failure = partly.failure
        texts = list(partly.vectors)
        vectors = np.stack(list(partly.vectors.values())) if texts else np.empty((0, 0), dtype=np.float32)
    if texts:
        collection.upsert(ids=[id_of(text) for text in texts], embeddings=vectors, documents=list(texts))
    if failure is not None:
        raise failure


class _Matrix:
    """The vectors of the texts in their order, filled as they come: no second copy of them is ever held."""

    def __init__(self, n: int, places: Mapping[str, Sequence[int]]) -> None:
        self.vectors: Vectors | None = None
        self.filled: set[str] = set()
        self._n = n
        self._places = places

    def fill(self, rows: Iterable[tuple[str, Vectors, object]]) -> None:
        for id_, vector, _ in rows:
            if self.vectors is None:
                self.vectors = np.empty((self._n, len(vector)), dtype=np.float32)
            self.vectors[self._places[id_]] = vector
            self.filled.add(id_)
