"""Near duplicates on BANKING77: FTVP_TEST_DATA=FOLDER python -m tests.bench.near_duplicates [ROWS]

200 near-copies of training rows (case changed, punctuation changed or one word dropped, a third each, seeded) are
planted among the 3,080 test rows. Recall: the share of them that `leak-exact` or `leak-near` names. A planted row that
is named is right by construction, and test rows hold natural near-copies too, so precision is counted on the natural
pairs of the unmodified sets: the share whose two rows BANKING77's annotators gave one label. The check itself leaves
out pairs with two labels; those that it then names are printed, to be looked at. MinHash alone is measured beside it.

With ROWS, that many synthetic short rows are searched for near duplicates instead, and checked as a whole: time and
peak memory of each.
"""

import csv
import os
import random
import resource
import string
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ftvp_core.data.checks import check, folded
from ftvp_core.data.near import Forms, near_pairs, near_pairs_between
from ftvp_core.types import Example, ExampleSet, Mapped

PLANTED, SEED = 200, 0
Row = tuple[str, str]


def main() -> None:
    if len(sys.argv) > 1:
        return print(scaled(int(sys.argv[1])))
    folder = Path(os.environ["FTVP_TEST_DATA"]) / "banking77"
    train, test = rows(folder / "train.csv"), rows(folder / "test.csv")
    planted = copies(train)
    print(recall(train, test, planted))
    print(minhash_alone(train, planted))
    return print(natural(train, test))


def rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def as_set(given: list[Row]) -> ExampleSet:
    made = tuple(Example(str(at), text, (label,), {}) for at, (text, label) in enumerate(given))
    return ExampleSet("bench", "0", "csv", "utf-8", Mapped("text", "category"), made)


def copies(train: list[Row]) -> list[tuple[int, Row]]:
    """Each with the training row that it copies."""
    rng = random.Random(SEED)
    ways: tuple[Callable[[str], str], ...] = (
        lambda text: text.upper() if rng.random() < 0.5 else text.title(),
        lambda text: text.rstrip("?.!") + rng.choice("!…;") if rng.random() < 0.5 else text.replace(" ", ", ", 1),
        lambda text: without_one(text.split(), rng),
    )
    places = rng.sample(range(len(train)), PLANTED)
    return [(at, (ways[nth % len(ways)](train[at][0]), train[at][1])) for nth, at in enumerate(places)]


def without_one(words: list[str], rng: random.Random) -> str:
    del words[rng.randrange(len(words))]
    return " ".join(words)


def recall(train: list[Row], test: list[Row], planted: list[tuple[int, Row]]) -> str:
    began = time.perf_counter()
    findings = {one.id: one for one in check(as_set([*test, *(row for _, row in planted)]), as_set(train))}
    seconds = time.perf_counter() - began
    found = {row for id_ in ("leak-exact", "leak-near") if id_ in findings for row in findings[id_].rows}
    missed = [row for at, (_, row) in enumerate(planted, start=len(test) + 1) if at not in found]
    lines = [f"planted: recall {1 - len(missed) / len(planted):.3f} ({len(missed)} missed), all checks {seconds:.1f} s"]
    return "\n".join([*lines, *(f"  missed: {text}" for text, _ in missed)])


def minhash_alone(train: list[Row], planted: list[tuple[int, Row]]) -> str:
    """rensa's LSH over character trigrams, 128 permutations, 32 bands of 4: its candidates, before any check."""
    from rensa import RMinHash, RMinHashLSH

    def sketch(text: str) -> RMinHash:
        minhash = RMinHash(num_perm=128, seed=SEED)
        minhash.update([folded(text)[at : at + 3] for at in range(max(1, len(folded(text)) - 2))])
        return minhash

    index = RMinHashLSH(threshold=0.5, num_perm=128, num_bands=32)
    for at, (text, _) in enumerate(train):
        index.insert(at, sketch(text))
    answers = [(at, set(index.query(sketch(text)))) for at, (text, _) in planted]
    met = sum(at in answer for at, answer in answers) / len(answers)
    return f"MinHash alone: recall {met:.3f} before checking, {sum(len(one) for _, one in answers) / len(answers):.0f} candidates a row"


def natural(train: list[Row], test: list[Row]) -> str:
    pairs = near_pairs_between(Forms(text for text, _ in test), Forms(text for text, _ in train))
    known = {folded(text) for text, _ in train}
    pairs = [(a, b) for a, b in pairs if folded(test[a][0]) not in known]
    alike = [(a, b) for a, b in pairs if test[a][1] == train[b][1]]
    lines = [
        f"natural: {len(pairs)} pairs of {len({a for a, _ in pairs})} test rows, {len(alike) / len(pairs):.3f} with the same label"
    ]
    return "\n".join([*lines, *(f"  {test[a][0]!r}  ~  {train[b][0]!r}" for a, b in alike)])


def scaled(count: int) -> str:
    """Rows of 6 to 14 made-up words, one in twenty a near-copy of an earlier one."""
    rng = random.Random(SEED)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(20_000)]
    texts: list[str] = []
    for at in range(count):
        copied = at > 100 and rng.random() < 0.05
        texts.append(
            without_one(rng.choice(texts).split(), rng)
            if copied
            else " ".join(rng.choices(words, k=rng.randint(6, 14)))
        )
    before = peak_gib()
    began = time.perf_counter()
    found = near_pairs(Forms(texts))
    near_s, near_gib = time.perf_counter() - began, peak_gib()
    began = time.perf_counter()
    check(as_set([(text, str(at % 20)) for at, text in enumerate(texts)]))
    return (
        f"{count:,} rows: {len({row for row, _ in found}):,} near rows in {near_s:.1f} s, peak {near_gib:.2f} GiB ({before:.2f} before)\n"
        f"all checks {time.perf_counter() - began:.1f} s, peak {peak_gib():.2f} GiB"
    )


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
