import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftvp_core.data import packed
from ftvp_core.data.examples import from_json, json_pieces, sampled, to_examples
from ftvp_core.data.packed import BLOCK, NEWEST, Packed, pack_examples
from ftvp_core.data.rows import read_table
from ftvp_core.errors import UserError
from ftvp_core.spec import TrainSetSpec
from ftvp_core.types import Assertion, Example, Message

N = 3 * BLOCK + 7


def example(at: int) -> Example:
    return Example(
        f"r{at}",
        f"카드가 안 와요 {at}",
        ("card_arrival", "بطاقة"),
        {"input": f"카드가 안 와요 {at}", "label": "card_arrival"},
        tags=("a",) if at % 2 else (),
        history=(Message("user", "Grüße"), Message("assistant", "Hallo")),
        assertions=(Assertion("contains", ["x", {"y": 1.5}], 0.5, negated=True),),
    )


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FEW", BLOCK)


def test_packed_rows_are_what_they_were() -> None:
    rows = [example(at) for at in range(N)]
    found = pack_examples(rows)
    assert isinstance(found, Packed) and len(found) == N
    assert list(found) == rows and list(reversed(found)) == rows[::-1]
    assert [found[at] for at in (0, BLOCK, N - 1, -1, -N)] == [rows[at] for at in (0, BLOCK, N - 1, -1, -N)]
    assert found[BLOCK - 2 : N : 5] == rows[BLOCK - 2 : N : 5] and found[:3] == rows[:3] and found[N:] == []
    assert rows[BLOCK + 3] in found and found.index(rows[BLOCK + 3]) == BLOCK + 3
    for beyond in (N, -N - 1):
        with pytest.raises(IndexError):
            found[beyond]


def test_few_rows_stay_as_they_are() -> None:
    assert pack_examples(example(at) for at in range(BLOCK)) == tuple(example(at) for at in range(BLOCK))
    assert pack_examples([]) == ()


def test_threads_may_read_packed_rows_side_by_side() -> None:
    n = (NEWEST + 3) * BLOCK
    found = pack_examples(map(example, range(n)))
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda at: found[at * 97 % n].id, range(n)))
    assert ids == [f"r{at * 97 % n}" for at in range(n)]


def test_packed_rows_take_little_memory() -> None:
    n = 20_000
    tracemalloc.start()
    try:
        plain = [example(at) for at in range(n)]
        of_plain, _ = tracemalloc.get_traced_memory()
        del plain
        before, _ = tracemalloc.get_traced_memory()
        found = pack_examples(map(example, range(n)))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == n
    assert after - before < of_plain / 10


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_large_file_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    rows = [f"r{at},카드 {at},label {at % 7}" for at in range(N)]
    if suffix == "csv":
        text = "\n".join(["id,text,label", *rows])
    else:
        cells = (row.split(",") for row in rows)
        text = "\n".join(f'{{"id": "{a}", "text": "{b}", "label": "{c}", "n": 1.50}}' for a, b, c in cells)
    (file := tmp_path / f"eval.{suffix}").write_text(text)
    asked = TrainSetSpec(path=str(file))
    large = to_examples(read_table(file), asked)
    monkeypatch.setattr(packed, "FEW", N)
    small = to_examples(read_table(file), asked)
    assert isinstance(large.examples, Packed) and isinstance(small.examples, tuple)
    assert tuple(large.examples) == small.examples
    assert tuple(sampled(large, N - 1, 3).examples) == sampled(small, N - 1, 3).examples


def test_what_is_wrong_in_a_large_file_is_said_as_in_a_small_one(tmp_path: Path) -> None:
    rows = [f'{{"text": "a {at}", "label": "b"}}' for at in range(N)]
    deep = 600 * '{"a": ' + "1" + 600 * "}"
    for fault, said in ((r'"half \ud83d"', f"row {N + 1}, column text"), (deep, "too many brackets")):
        (file := tmp_path / "eval.jsonl").write_text("\n".join([*rows, f'{{"text": {fault}, "label": "b"}}']))
        with pytest.raises(UserError, match=said):
            to_examples(read_table(file), TrainSetSpec(path=str(file)))


@pytest.mark.parametrize("size", [1, 7, 4_096, 10**9])
def test_a_stored_set_is_read_back_from_pieces_of_any_size(tmp_path: Path, size: int) -> None:
    n = 3 if size == 1 else N
    quoted = [f'{at},"he said ""{{}} ]}} {at}"", then {"x" * (5_000 if at == 1 else 3)}\\",a' for at in range(n)]
    (file := tmp_path / "eval.csv").write_text("\n".join(['id,text,"label"', *quoted]))
    examples = to_examples(read_table(file), TrainSetSpec(path=str(file)))
    text = "".join(json_pieces(examples))
    found = from_json(text[at : at + size] for at in range(0, len(text), size))
    assert list(found.examples) == list(examples.examples)
    with pytest.raises(ValueError, match="column"):  # cut short: an error, not a shorter set
        from_json([text[: -len('"recorded": null}]}')]])
    assert (found.name, found.sha256, found.mapping) == (examples.name, examples.sha256, examples.mapping)
