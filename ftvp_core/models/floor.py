"""Classical floors: what a tuned model has to beat to be worth anything. scikit-learn, trained in seconds."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from ftvp_core.errors import UserError
from ftvp_core.types import Answer, Example, Request


class Floor:
    """A classifier on TF-IDF of words 1-2 and characters inside words 3-5, lower-cased.

    `tfidf-svm`: scikit-learn's LinearSVC, C = 1. `nearest`: the label of the one nearest training row by
    cosine.
    """

    batch_size = 512
    on_gpu = False
    group = None
    works = True

    def __init__(self, kind: Literal["tfidf-svm", "nearest"], train: Sequence[Example], seed: int) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline, make_union
        from sklearn.svm import LinearSVC

        rows = [example for example in train if example.references]
        labels = [example.references[0] for example in rows]
        if len(set(labels)) < 2:
            raise UserError("train_set", f"a floor needs rows of two labels or more; found {len(set(labels))}")
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2)), TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))
        )
        classifier = (
            LinearSVC(C=1.0, random_state=seed)
            if kind == "tfidf-svm"
            else KNeighborsClassifier(n_neighbors=1, metric="cosine")
        )
        self.identity = f"floor#{kind}"
        self._pipeline: Any = make_pipeline(features, classifier)
        try:
            self._pipeline.fit([example.input for example in rows], labels)
        except ValueError as error:  # scikit-learn's word for "no text in any row"
            raise UserError("train_set", f"the floor {kind} found nothing to learn from ({error})") from None

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer | str]:
        started = time.perf_counter()
        labels = self._pipeline.predict([request.example.input for request in requests])
        each_s = (time.perf_counter() - started) / len(requests)
        return [Answer(str(label), machine_s=each_s) for label in labels]
