"""Chroma, opened: embedded in a folder, by one process at a time, or on a server.

An embedded folder has one process at a time: a second waits for its lock, also while the first embeds, so that no text
is embedded, and paid for, by two. The client is closed before the lock is given back, so nobody reads what was true
before another wrote. A server lets several in at once.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ftvp_core.alone import PATIENT, Waiting, alone
from ftvp_core.candidates.embedders import Vectors
from ftvp_core.errors import RunStopped, UserError

#: Where Chroma is, if it isn't a folder here: http://HOST:PORT of `chroma run`.
SERVER = "FTVP_CHROMA_URL"
#: Chroma takes at most 5,461 rows a call; of fewer, less is lost when the process is killed.
STORE_BATCH = 1024
#: The least graph that Chroma builds: it isn't searched, and the usual one takes twice as long to write.
GRAPH = {"hnsw": {"ef_construction": 8, "max_neighbors": 4}}


@contextmanager
def chroma(folder: Path, watch: Waiting = PATIENT) -> Iterator[Any]:
    """Chroma on the server that the environment names, else in the folder, alone.

    Raises UserError, RunStopped: where the server is gone, or `watch` ended the wait for the folder.
    """
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
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "ftvp.lock", watch):
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


def collection_of(client: Any, kind: str, identity: str) -> Any:
    """The collection of an embedder's texts of this kind, made where it isn't there."""
    name = f"{kind}-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    return client.get_or_create_collection(name, embedding_function=None, configuration=GRAPH)


def stored(collection: Any, ids: Sequence[str]) -> Iterator[tuple[str, Vectors, dict[str, Any]]]:
    """Of the texts that are there: id, vector and what is kept beside it."""
    for start in range(0, len(ids), STORE_BATCH):
        rows = collection.get(ids=list(ids[start : start + STORE_BATCH]), include=["embeddings", "metadatas"])
        vectors = np.asarray(rows["embeddings"], dtype=np.float32)
        beside = [one or {} for one in rows["metadatas"]]
        yield from zip(rows["ids"], vectors, beside, strict=True)


def id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
