"""The index is whole or an error, in a folder and on a server: built once, finished after a kill, never stale."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from filelock import FileLock

from ftvp_core.candidates import index as indexes
from ftvp_core.candidates.chroma import SERVER, stored
from ftvp_core.candidates.chroma import chroma as opened_chroma
from ftvp_core.candidates.embedders import Offline, Vectors
from ftvp_core.candidates.index import dense_index, forget
from ftvp_core.errors import RunStopped, UserError

CHROMA = Path(sys.executable).parent / "chroma"


class Counting(Offline):
    """The offline embedder, and how many texts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return super().embed(texts)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma_server(tmp_path_factory.mktemp("server")) as (url, _):
        yield url


@contextmanager
def chroma_server(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`chroma run` on a free port: its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(CHROMA), "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(900):  # a busy machine takes its time
            try:
                urlopen(f"{url}/api/v2/heartbeat").close()
                break
            except URLError:
                time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["folder", "server"])
def chroma(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "server":
        monkeypatch.setenv(SERVER, request.getfixturevalue("server"))
    return tmp_path / "chroma"


def texts_of(folder: Path, n: int) -> list[str]:
    """Texts that no other test has, as a server keeps them all."""
    return [f"{folder.parent.name} number {at} of the parcels and refunds" for at in range(n)]


def opened(texts: Sequence[str], folder: Path) -> tuple[indexes.DenseIndex, list[str]]:
    """The index, and what was embedded for it."""
    embedder = Counting()
    index = dense_index(texts, embedder, folder, lambda done, total: None)
    return index, embedder.texts


def stored_n(folder: Path, texts: Sequence[str]) -> int:
    """How many of the texts Chroma itself has."""
    with opened_chroma(folder) as client:
        (collection,) = client.list_collections()
        rows = collection.get(include=["documents"])
        assert len(rows["ids"]) == collection.count()
        return len(set(rows["documents"]) & set(texts))


@pytest.mark.parametrize("n", [500, 5000])
def test_a_text_is_embedded_once_and_a_change_embeds_what_changed(chroma: Path, n: int) -> None:
    texts = texts_of(chroma, n)
    index, embedded = opened(texts, chroma)
    assert embedded == texts and stored_n(chroma, texts) == n
    again, embedded = opened(texts, chroma)
    assert embedded == []
    changed = [f"카드를 정지하세요 {chroma.parent.name}", *texts[7:], f"{texts[0]}, changed", texts[3]]
    newer, embedded = opened(changed, chroma)
    assert embedded == [changed[0], changed[-2]]
    assert newer.query([changed[0], changed[-2]], 1) == [[0], [len(changed) - 2]]
    asked = texts[::97]
    assert index.query(asked, 3) == again.query(asked, 3)
    assert [positions[0] for positions in again.query(asked, 3)] == list(range(0, n, 97))


def test_repeated_texts_are_one_vector_and_keep_their_places(chroma: Path) -> None:
    one, two = texts_of(chroma, 2)
    index, embedded = opened([one, two, one, two], chroma)
    assert embedded == [one, two]
    assert index.query(["anything"], 4)[0] in ([0, 2, 1, 3], [1, 3, 0, 2])


def test_forgotten_texts_are_gone_and_the_others_are_not_embedded_again(chroma: Path) -> None:
    texts = texts_of(chroma, 40)
    opened(texts, chroma)
    forget([*texts[30:], "never there"], chroma)
    assert stored_n(chroma, texts) == 30
    index, embedded = opened(texts[:31], chroma)
    assert embedded == [texts[30]]
    assert [positions[0] for positions in index.query(texts[:31], 1)] == list(range(31))


KILLED = """
import os, signal, sys
from pathlib import Path
from ftvp_core.candidates import index
from ftvp_core.candidates.embedders import Offline
from tests.candidates.test_index import texts_of
folder, n = Path(sys.argv[1]), int(sys.argv[2])
Offline.batch = 100
def stop(done, total):
    if done >= n * 0.4:
        os.kill(os.getpid(), signal.SIGKILL)
index.dense_index(texts_of(folder, n), Offline(), folder, stop)
"""


@pytest.mark.parametrize("n", [500, 5000])
def test_what_a_killed_process_left_out_is_added_at_the_next_start(chroma: Path, n: int) -> None:
    texts = texts_of(chroma, n)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(chroma), str(n)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert 0 < stored_n(chroma, texts) < n
    index, embedded = opened(texts, chroma)  # without waiting: a dead process holds no lock
    assert 0 < len(embedded) <= 0.6 * n
    assert stored_n(chroma, texts) == n
    assert [positions[0] for positions in index.query(texts, 1)] == list(range(n))


WRITES = """
import sys
from pathlib import Path
from ftvp_core.candidates.embedders import Offline
from ftvp_core.candidates.index import dense_index
from tests.candidates.test_index import texts_of
folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
dense_index(texts_of(folder, last)[first:], Offline(), folder, lambda done, total: None)
"""


def test_two_processes_at_once_lose_nothing_and_neither_reads_what_was(chroma: Path) -> None:
    """This process has searched before the others write: what they add is there when it opens again."""
    texts = texts_of(chroma, 1500)
    opened(texts[:100], chroma)[0].query(texts[:5], 2)
    spans = (("50", "900"), ("600", "1500"))
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, str(chroma), *span]) for span in spans]
    assert [writer.wait() for writer in writers] == [0, 0]
    index, embedded = opened(texts, chroma)
    assert embedded == []
    assert [positions[0] for positions in index.query(texts[::50], 1)] == list(range(0, 1500, 50))


@pytest.mark.parametrize("ends", ["the other process", "who waits"])
def test_behind_another_process_one_waits_visibly_and_can_be_stopped(tmp_path: Path, ends: str) -> None:
    folder, seen = tmp_path / "c", list[bool]()
    folder.mkdir()
    other = FileLock(folder / "ftvp.lock")
    other.acquire()

    class Watch:
        def waits(self, waits: bool) -> None:
            seen.append(waits)
            if len(seen) == 2 and ends == "the other process":
                other.release()

        def cancelled(self) -> bool:
            return len(seen) == 2 and ends == "who waits"

    if ends == "who waits":
        with pytest.raises(RunStopped, match="cancelled"):
            dense_index(["a"], Offline(), folder, lambda done, total: None, watch=Watch())
        assert seen == [True, True]
    else:
        dense_index(["a"], Offline(), folder, lambda done, total: None, watch=Watch())
        assert seen == [True, True, False]


def test_what_is_outdated_isn_t_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(["a", "b"], tmp_path)
    monkeypatch.setattr(indexes, "FORGETS_WITHIN_S", 0.0)
    with FileLock(tmp_path / "ftvp.lock"), pytest.raises(RunStopped):
        forget(["a"], tmp_path)
    assert stored_n(tmp_path, ["a", "b"]) == 2


def test_a_subset_is_never_served(chroma: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written and isn't there stops the run, with the figures."""
    texts = texts_of(chroma, 20)
    honest = stored

    def forgetful(collection: object, ids: Sequence[str]) -> Iterator[tuple[str, Vectors, object]]:
        return islice(honest(collection, ids), 13)

    monkeypatch.setattr(indexes, "stored", forgetful)
    with pytest.raises(RunStopped, match="holds 13 of 20 texts"):
        opened(texts, chroma)


def test_another_model_has_an_index_of_its_own_beside_the_old(tmp_path: Path) -> None:
    class Short(Counting):
        """Four dimensions."""

        def __init__(self) -> None:
            super().__init__()
            self.identity = "short 1"

        def embed(self, texts: Sequence[str]) -> Vectors:
            return np.ascontiguousarray(super().embed(texts)[:, :4])

    texts = texts_of(tmp_path / "c", 50)
    first, _ = opened(texts, tmp_path / "c")
    short = Short()
    other = dense_index(texts, short, tmp_path / "c", lambda done, total: None)
    assert len(short.texts) == 50
    assert other.query(texts[:3], 1) == first.query(texts[:3], 1) == [[0], [1], [2]]
    assert opened(texts, tmp_path / "c")[1] == []


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(SERVER, url)
    with pytest.raises(UserError, match=SERVER) as raised:
        opened(["a"], tmp_path)
    assert url in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dies_stops_the_run_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chroma_server(tmp_path) as (url, process):
        monkeypatch.setenv(SERVER, url)

        class Last(Offline):
            def embed(self, texts: Sequence[str]) -> Vectors:
                process.kill()
                process.wait()
                return super().embed(texts)

        with pytest.raises(RunStopped, match=f"{url} stopped answering"):
            dense_index(["a", "b"], Last(), tmp_path, lambda done, total: None)
