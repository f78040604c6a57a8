"""Embeddings by a server, as a search uses them. Whoever runs gives the `call`, which accounts for each request.

What was paid for is kept in Chroma: passages as any embedder's, questions in a collection of their own with the tokens
that each took, so that a later run knows what a question costs that it doesn't pay for.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftvp_core.alone import Waiting
from ftvp_core.candidates.chroma import chroma, collection_of, id_of, stored
from ftvp_core.candidates.embedders import Partly, Vectors, unit
from ftvp_core.errors import CallFailed, RunStopped

#: Passages of one request: more are refused by some servers (Hugging Face's takes 32 unless told otherwise).
TEXTS_A_REQUEST = 32
#: Requests that are under way at once when passages are embedded, and written together.
REQUESTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of one request's texts, and the tokens that it took, if its server says."""

    vectors: Vectors
    tokens: int | None


#: What came of a request. A run that is stopped has answers to some: they were paid for.
Came = Embedded | CallFailed | RunStopped
#: Sends each list of texts as one request; `are_questions`: each is one question of its own.
Call = Callable[[Sequence[Sequence[str]], bool], Sequence[Came]]


class RemoteEmbedder:
    """A model on a server. Embeds passages, many a request."""

    batch = TEXTS_A_REQUEST * REQUESTS_AT_ONCE

    def __init__(self, identity: str, call: Call, reuse: Container[str] | None) -> None:
        """`reuse`: the questions that aren't sent again where they are kept; None: all."""
        self.identity = identity
        self.call = call
        self.reuse = reuse
        #: By question: the tokens that it took, whenever it was embedded.
        self.tokens: dict[str, int | None] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Raises Partly, with what was embedded, where a request failed or the run was stopped."""
        parts = [texts[at : at + TEXTS_A_REQUEST] for at in range(0, len(texts), TEXTS_A_REQUEST)]
        found, failure = together(parts, self.call(parts, False))
        if failure is not None:
            raise Partly({text: vector for text, (vector, _) in found.items()}, failure)
        return np.stack([found[text][0] for text in texts])


#: Gives the embedder of a server's model, `provider/model`.
RemoteOf = Callable[[str], RemoteEmbedder]


class Questions:
    """Embeds what is asked by a server: each question once, alone, as it is when a user asks it."""

    batch = RemoteEmbedder.batch

    def __init__(self, embedder: RemoteEmbedder, folder: Path, watch: Waiting) -> None:
        self.identity = embedder.identity
        self._watch = watch
        self._embedder = embedder
        self._folder = folder
        self._known: dict[str, Vectors] = {}
        self._failed: dict[str, CallFailed | RunStopped] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Raises CallFailed where one can't be, RunStopped; the others are kept."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        reuse = self._embedder.reuse
        if kept := [text for text in missing if reuse is None or text in reuse]:
            self._recall(kept)
        missing = [text for text in missing if text not in self._known and text not in self._failed]
        if missing:
            self._ask(missing)
        for text in texts:
            if text in self._failed:
                raise self._failed[text]
        return np.stack([self._known[text] for text in texts])

    def _recall(self, texts: Sequence[str]) -> None:
        by_id = {id_of(text): text for text in texts}
        with chroma(self._folder, self._watch) as client:
            for id_, vector, beside in stored(collection_of(client, "questions", self.identity), list(by_id)):
                self._keep(by_id[id_], vector, int(beside["tokens"]))

    def _ask(self, texts: Sequence[str]) -> None:
        answers = self._embedder.call([[text] for text in texts], True)
        found, _ = together([[text] for text in texts], answers)
        self._failed |= {
            text: answer for text, answer in zip(texts, answers, strict=True) if not isinstance(answer, Embedded)
        }
        if not found:
            return
        for text, (vector, tokens) in found.items():
            self._keep(text, vector, -1 if tokens is None else tokens)
        with chroma(self._folder, self._watch) as client:
            collection_of(client, "questions", self.identity).upsert(
                ids=[id_of(text) for text in found],
                embeddings=np.stack([vector for vector, _ in found.values()]),
                metadatas=[{"tokens": -1 if tokens is None else tokens} for _, tokens in found.values()],
            )

    def _keep(self, text: str, vector: Vectors, tokens: int) -> None:
        self._known[text] = vector
        self._embedder.tokens[text] = tokens if tokens >= 0 else None


def together(
    parts: Sequence[Sequence[str]], answers: Sequence[Came]
) -> tuple[Mapping[str, tuple[Vectors, int | None]], CallFailed | RunStopped | None]:
    """By text its vector and its request's tokens; and the first failure, if there is one."""
    found: dict[str, tuple[Vectors, int | None]] = {}
    failure = None
    for texts, answer in zip(parts, answers, strict=True):
        if not isinstance(answer, Embedded):
            failure = failure or answer
        else:
            found.update(
                (text, (vector, answer.tokens)) for text, vector in zip(texts, unit(answer.vectors), strict=True)
            )
    return found, failure
