"""How well and how fast passages are found: FTVP_TEST_DATA=FOLDER nice python -m tests.bench.retrieval

Quality: XQuAD's questions over its 240 passages in English and German, Streamlit's questions over its whole
documentation, and BANKING77's and Snips' test rows over their training rows, where any row of the same label is right.
`p` is of hybrid against the better of its two parts, paired and clustered by passage; beside it, what reciprocal rank
fusion (60 and 1) would have brought. The fusion was chosen on XQuAD's first 24 articles and Snips, its weight comes from
the literature (`ranking.WORDS`); `second half` is of the rows that it wasn't chosen on.

Cost: a query at 10,000 chunks beside Chroma's own call with the same vector, and the memory of 100,000 chunks. Times
on a busy machine are ratios; set OMP_NUM_THREADS=1 there, as threads that wait for a core cost more than they bring.

On two busy cores, 25 November 2026, above the texts and Python: dense 385 MiB, by words 424 MiB, hybrid at most their
sum. With one thread a query takes 0.42 ms by meaning and 1.12 hybrid, embedding included, beside 1.30 of Chroma's own.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftvp_core.analysis.intervals import accuracy_interval
from ftvp_core.analysis.paired import paired_p
from ftvp_core.candidates.embedders import Offline
from ftvp_core.candidates.index import open_index
from ftvp_core.candidates.ranking import Index
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import read_table
from ftvp_core.spec import KnowledgeSpec, RetrievalSpec

MODES = ("dense", "lexical", "hybrid")
HELD_OUT = 24
#: Of reciprocal rank fusion (Cormack, Clarke & Büttcher 2009, SIGIR 758), and how far down a ranking counts.
CONSTANT, DEPTH = 60, 100
CHUNKS, MANY = 10_000, 100_000
QUERIES = 200
ROOT = Path(__file__).parents[2]


class Asked:
    """Questions, the passages that answer each, and each one's cluster; `held_out` marks those not chosen on."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.questions: list[str] = []
        self.gold: list[set[int]] = []
        self.cluster: list[int] = []
        self.held_out: list[bool] = []

    def add(self, question: str, gold: set[int], cluster: int, held_out: bool) -> None:
        self.questions.append(question)
        self.gold.append(gold)
        self.cluster.append(cluster)
        self.held_out.append(held_out)


def main() -> None:
    data = Path(os.environ["FTVP_TEST_DATA"])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print("set      mode     recall@1           recall@4  second half  p against the better part; of rank fusion")
    asked = {
        "en": xquad(data, "en"),
        "de": xquad(data, "de"),
        "faq": documentation(data),
        "banking": banking(data),
        "snips": snips(data),
    }
    for name, one in asked.items():
        quality(name, one)
    ingestion(data)
    overhead()
    for mode in MODES:
        print(subprocess.run(
            [sys.executable, "-m", "tests.bench.retrieval", mode], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip())  # fmt: skip


def xquad(data: Path, language: str) -> Asked:
    articles = json.loads((data / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [(at, one) for at, article in enumerate(articles) for one in article["paragraphs"]]
    asked = Asked([one["context"] for _, one in paragraphs])
    for at, (article, one) in enumerate(paragraphs):
        for qa in one["qas"]:
            asked.add(qa["question"], {at}, at, article >= HELD_OUT)
    return asked


def documentation(data: Path) -> Asked:
    folder = data / "streamlit-docs"
    passages = read_knowledge(folder / "content", KnowledgeSpec(path="content")).passages
    asked = Asked([passage.text for passage in passages])
    for at, line in enumerate((folder / "kb_faq.jsonl").read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        gold = {place for place, one in enumerate(passages) if f"content/{one.source}" == row["source"]}
        asked.add(row["question"], gold, at, True)
    return asked


def banking(data: Path) -> Asked:
    train, test = (
        [(str(row["text"]), str(row["category"])) for row in read_table(data / "banking77" / f"{part}.csv").rows]
        for part in ("train", "test")
    )
    return labelled(train, test, held_out=True)


def snips(data: Path) -> Asked:
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "validate": []}
    for file in sorted((data / "snips").glob("*.json")):
        part, _, label = file.stem.partition("_")
        rows = json.loads(file.read_text(encoding="utf-8", errors="replace"))[label]
        parts[part] += [("".join(piece["text"] for piece in row["data"]).strip(), label) for row in rows]
    return labelled(parts["train"], parts["validate"], held_out=False)


def labelled(train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]], *, held_out: bool) -> Asked:
    asked = Asked([text for text, _ in train])
    same: dict[str, set[int]] = {}
    for at, (_, label) in enumerate(train):
        same.setdefault(label, set()).add(at)
    for at, (text, label) in enumerate(test):
        asked.add(text, same[label], at, held_out)
    return asked


def ingestion(data: Path) -> None:
    """Files to an index that can be asked, with the offline embedder."""
    folder = data / "streamlit-docs" / "content"
    began = time.monotonic()
    passages = read_knowledge(folder, KnowledgeSpec(path="content")).passages
    with tempfile.TemporaryDirectory() as chroma:
        opened([passage.text for passage in passages], "hybrid", Path(chroma))
    pages = len({passage.source for passage in passages})
    print(
        f"{pages} pages, {len(passages):,} chunks: read, cut, embedded and written in {time.monotonic() - began:.1f} s"
    )


def quality(name: str, asked: Asked) -> None:
    clusters, held_out = np.array(asked.cluster), np.array(asked.held_out)
    first: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode in MODES:
            found = opened(asked.texts, mode, Path(folder)).query(asked.questions, 4)
            first[mode] = hits(found, asked.gold, 1)
            interval = accuracy_interval(first[mode], clusters)
            line = (
                f"{name:8} {mode:8} {first[mode].mean():.3f} ({interval.low:.3f}–{interval.high:.3f})  "
                f"{hits(found, asked.gold, 4).mean():.3f}     "
                + (f"{first[mode][held_out].mean():.3f}" if held_out.any() else "–    ")
            )
            if mode == "hybrid":
                better = max((first["dense"], first["lexical"]), key=lambda one: float(one.mean()))
                line += f"        {against(first['hybrid'], better, clusters)}"
                parts = [opened(asked.texts, part, Path(folder)) for part in ("lexical", "dense")]
                ranked = hits(by_rank([part.query(asked.questions, DEPTH) for part in parts]), asked.gold, 1)
                line += f"; {against(ranked, better, clusters)}"
            print(line, flush=True)


def against(first: Any, better: Any, clusters: Any) -> str:
    return f"{paired_p(first - better, clusters):.3f} ({100 * (first - better).mean():+.1f} points)"


def by_rank(rankings: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """For each question the rankings of several searches made one, by reciprocal rank."""
    fused = []
    for of_question in zip(*rankings, strict=True):
        share: dict[int, float] = {}
        for ranking in of_question:
            for rank, at in enumerate(ranking, start=1):
                share[at] = share.get(at, 0.0) + 1 / (CONSTANT + rank)
        fused.append(sorted(share, key=lambda at: (-share[at], at)))
    return fused


def hits(found: Sequence[Sequence[int]], gold: Sequence[set[int]], k: int) -> Any:
    return np.array([bool(gold_ & set(ids[:k])) for ids, gold_ in zip(found, gold, strict=True)], dtype=np.float64)


def opened(texts: Sequence[str], mode: str, folder: Path) -> Index:
    retrieval = RetrievalSpec.model_validate({"mode": mode})
    return open_index(texts, retrieval, folder, folder, lambda done, total: None)


def overhead() -> None:
    """Milliseconds a query, one at a time; the embedding is in ours and not in Chroma's, so it is told apart."""
    import chromadb
    from chromadb.config import Settings

    texts = chunks(CHUNKS)
    asked = [text[:60] for text in texts[:: CHUNKS // QUERIES]]
    with tempfile.TemporaryDirectory() as folder:
        dense = opened(texts, "dense", Path(folder))
        lexical = opened(texts, "lexical", Path(folder))
        hybrid = opened(texts, "hybrid", Path(folder))
        client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
        (collection,) = client.list_collections()
        embedder = Offline()
        vectors = [embedder.embed([text])[0].tolist() for text in asked]
        calls: dict[str, Callable[[int], object]] = {
            "Chroma's own call": lambda at: collection.query(query_embeddings=[vectors[at]], n_results=4),
            "embedding": lambda at: embedder.embed([asked[at]]),
            "dense, embedded here": lambda at: dense.query([asked[at]], 4),
            "lexical": lambda at: lexical.query([asked[at]], 4),
            "hybrid": lambda at: hybrid.query([asked[at]], 4),
        }
        print(f"{CHUNKS:,} chunks, a query at a time (median of {len(asked)})")
        for name, call in calls.items():
            print(f"  {name:24} {timed(call, len(asked)):.2f} ms", flush=True)
        client.close()


def timed(call: Callable[[int], object], n: int) -> float:
    took = []
    for at in range(n):
        began = time.perf_counter()
        call(at)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


def memory(mode: str) -> None:
    """One line: building an index of many chunks, opening it again, and the most memory that it took."""
    texts = chunks(MANY)
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        index = opened(texts, mode, Path(folder))
        built_s = time.monotonic() - began
        began = time.monotonic()
        index.query([text[:60] for text in texts[:256]], 4)
        queried_s = time.monotonic() - began
        del index
        began = time.monotonic()
        opened(texts, mode, Path(folder))
        print(
            f"{MANY:,} chunks, {mode}: built in {built_s:.0f} s, opened again in {time.monotonic() - began:.0f} s, "
            f"256 queries {queried_s:.1f} s, peak {peak_mib():,.0f} MiB ({before:,.0f} MiB were the texts and Python)"
        )


def chunks(n: int) -> list[str]:
    """Texts of 160 words, as many as a chunk of 256 tokens has, drawn from 50,000 by Zipf's law."""
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 11, 50_000)]
    drawn = np.minimum(random.zipf(1.2, (n, 160)) - 1, len(words) - 1)
    return [" ".join(words[at] for at in row) for row in drawn]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    memory(sys.argv[1]) if len(sys.argv) > 1 else main()
