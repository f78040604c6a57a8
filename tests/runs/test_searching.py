"""A server's embeddings and re-ranking: each request is in the ledger, paid once, within the limit, and lost by no kill."""

import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ftvp_core.__main__ import main
from ftvp_core.candidates.chroma import chroma
from ftvp_core.jobs import outdated
from ftvp_core.jobs.progress import run_progress
from ftvp_core.report.load import Report, load_report
from ftvp_core.spec import Spec, parse
from ftvp_core.store.opening import open_store
from tests.fault_server import TOKENS_IN, TOKENS_OUT, Served, fault_server
from tests.faults.conftest import Project

EMBED, RERANK, ASK = Decimal("0.02"), Decimal("0.05"), (Decimal("0.15"), Decimal("0.60"))
TOPICS = ("invoice", "refund", "password", "parcel", "lamp", "hours", "warranty", "address", "카드", "كلمة")


@pytest.fixture
def server() -> Iterator[Served]:
    with fault_server(latency_s=0.0) as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    return tmp_path


def write(folder: Path, server: Served, candidates: list[dict[str, Any]], n: int = 12, **keys: Any) -> Path:
    """A comparison of `n` questions over 80 passages, all its models priced."""
    (folder / "docs").mkdir(exist_ok=True)
    for topic in TOPICS:
        for at in range(8):
            (folder / "docs" / f"{topic}-{at}.txt").write_text(f"About the {topic}, part {at}: " + "so it is. " * at)
    rows = [
        {"id": f"r{at}", "question": f"[ex-{at}] what of the {TOPICS[at % len(TOPICS)]}?", "answer": "yes",
         "gold": f"{TOPICS[at % len(TOPICS)]}-{at % 8}.txt"}
        for at in range(n)
    ]  # fmt: skip
    (folder / "eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    priced = {"m": ASK, "embed": (EMBED, 0), "rank": (RERANK, 0)}
    prices = {f"one/{name}": {"input": str(in_), "output": str(out)} for name, (in_, out) in priced.items()}
    file = folder / "comparison.yaml"
    whole = {
        "eval_set": {"path": "eval.jsonl", "gold": "gold"},
        "knowledge": {"path": "docs"},
        "providers": {"one": {"base_url": server.url}},
        "prices": prices,
        "candidates": candidates,
        "run": {"concurrency": 8, "max_cost_usd": 5},
    }
    file.write_text(json.dumps(whole | keys))
    return file


def rag(name: str = "rag", **retrieval: Any) -> dict[str, Any]:
    # The question last: the fault server takes the last [ex-…] of a prompt.
    return {"name": name, "model": "one/m", "prompt": {"user": "{context}\n\n{question}"},
            "sampling": {"max_tokens": 8}, "retrieval": {"embedder": "one/embed", **retrieval}}  # fmt: skip


def newest() -> Report:
    store = open_store()
    return load_report(store, store.runs()[0].id)


def asking(n: int) -> Decimal:
    return n * (TOKENS_IN * ASK[0] + TOKENS_OUT * ASK[1]) / 1_000_000


def words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def test_every_request_is_accounted_for_and_no_text_is_paid_for_twice(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag(), rag("both", mode="hybrid", top_k=2)])
    assert main(["run", str(file)]) == 0
    passages = [text for request in server.embedded if len(request) > 1 for text in request]
    questions = [text for request in server.embedded if len(request) == 1 for text in request]
    assert (len(passages), len(set(passages)), len(questions), len(set(questions))) == (80, 80, 12, 12)
    first, second = newest().comparison.candidates
    assert (first.other_attempts, second.other_attempts) == (len(server.embedded), 0)
    assert (first.attempts, second.attempts, first.attempts_cost_unknown) == (12, 12, 0)
    assert first.cost_usd == asking(12) + server.search_tokens * EMBED / 1_000_000
    assert second.cost_usd == asking(12)
    a_request = (asking(12) + words(questions) * EMBED / 1_000_000) / 12
    assert first.cost_per_1k_usd == second.cost_per_1k_usd == 1000 * a_request
    sent = server.search_requests
    assert main(["run", str(file)]) == 0
    assert server.search_requests == sent, "a later run finds passages and questions"
    assert [one.cost_per_1k_usd for one in newest().comparison.candidates] == [1000 * a_request] * 2
    assert newest().comparison.candidates[0].cost_usd == 0


def test_a_changed_file_pays_for_its_own_passages_and_a_deleted_one_is_not_found(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag(top_k=80)])
    assert main(["run", str(file)]) == 0
    server.embedded.clear()
    (folder / "docs" / "refund-1.txt").write_text("Refunds have changed.")
    (folder / "docs" / "refund-2.txt").unlink()
    assert main(["run", str(file)]) == 0
    assert server.embedded == [["Refunds have changed."]]
    store = open_store()
    sent = {id_ for row in store.results(store.runs()[0].id) for id_ in row.passages}
    assert "refund-1.txt" in sent and "refund-2.txt" not in sent and len(sent) == 79


def indexed(folder: Path) -> set[str]:
    """The texts in Chroma."""
    with chroma(folder / "home" / "chroma") as client:
        found = [one.get(include=["documents"])["documents"] for one in client.list_collections() if one.name.startswith("texts")]  # fmt: skip
    return {text for documents in found for text in documents}


def test_what_a_changed_knowledge_lost_is_removed_unless_a_run_may_still_need_it(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag()])
    (folder / "others").mkdir()
    shared = (folder / "docs" / "refund-3.txt").read_text()
    (folder / "others" / "same.txt").write_text(shared)
    (folder / "others" / "own.txt").write_text("of the others alone")
    others = folder / "others.yaml"
    others.write_text(json.dumps(json.loads(file.read_text()) | {"name": "others", "knowledge": {"path": "others"}}))
    assert main(["run", str(others)]) == main(["run", str(file)]) == 0
    before = indexed(folder)
    assert len(before) == 81
    old = {at: (folder / "docs" / f"refund-{at}.txt").read_text().strip() for at in range(8)}
    (folder / "docs" / "refund-1.txt").write_text("Refunds have changed.")
    for at in (2, 3):
        (folder / "docs" / f"refund-{at}.txt").unlink()
    assert main(["run", str(file), "--max-cost", "0.0000001"]) == 2
    unfinished = open_store().runs()[0].id
    assert indexed(folder) == before - {old[1], old[2]}, "what other files still say is kept"
    (folder / "docs" / "refund-4.txt").unlink()
    (folder / "docs" / "refund-1.txt").write_text("Refunds have changed again.")
    assert main(["run", str(file)]) == 0
    assert old[4] in indexed(folder), "a run that isn't done may go on"
    server.embedded.clear()
    assert main(["run", "--resume", unfinished, "--max-cost", "5"]) == 0
    assert server.embedded == [["Refunds have changed."]]
    assert indexed(folder) == before - {old[1], old[2], old[4]} | {"Refunds have changed again."}
    server.embedded.clear()
    assert main(["run", str(file)]) == main(["run", str(others)]) == 0
    assert server.embedded == []


def test_faults_are_tried_again_and_what_is_billed_adds_up(folder: Path) -> None:
    with fault_server(latency_s=0.0, f429=0.2, f500=0.2) as server:
        assert main(["run", str(write(folder, server, [rag()]))]) == 0
        (figures,) = newest().comparison.candidates
        assert figures.n_failed == 0
        assert figures.other_attempts == server.search_requests > len(server.embedded)
        assert figures.cost_usd == asking(12) + server.search_tokens * EMBED / 1_000_000


def test_the_limit_holds_and_a_resume_pays_for_what_is_missing(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag()])
    assert main(["run", str(file), "--max-cost", "0.00008"]) == 2
    store = open_store()
    run = store.runs()[0]
    assert run.state in {"partial", "failed"} and "leaves no room" in (run.cause or "")
    assert run.spent_usd == asking(len(server.messages)) + server.search_tokens * EMBED / 1_000_000
    assert run.spent_usd <= Decimal("0.00008")
    assert main(["run", "--resume", run.id, "--max-cost", "5"]) == 0
    sent = [text for request in server.embedded for text in request]
    assert len(sent) == len(set(sent)) == 92
    (figures,) = newest().comparison.candidates
    assert figures.cost_usd == asking(12) + server.search_tokens * EMBED / 1_000_000


@pytest.mark.parametrize("fault", ["f401", "quota"])
def test_a_server_that_refuses_to_embed_stops_its_own_candidates_alone(
    folder: Path, server: Served, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    with fault_server(latency_s=0.0, **{fault: 1.0}) as wrong:
        candidates = [rag(embedder="two/embed"), {"name": "plain", "model": "one/m", "prompt": {"user": "{question}"}}]
        providers = {"one": {"base_url": server.url}, "two": {"base_url": wrong.url}}
        prices = {"one/m": {"input": 1, "output": 1}, "two/embed": {"input": 1, "output": 0}}
        file = write(folder, server, candidates, providers=providers, prices=prices)
        assert main(["run", str(file)]) == 2
        assert wrong.search_requests <= 8
    refused, plain = newest().comparison.candidates
    assert (refused.n_scored, plain.n_scored) == (0, 12)
    assert refused.cost_usd == Decimal(0)
    run = open_store().runs()[0]
    assert "two: stopped after HTTP" in (run.cause or "")
    capsys.readouterr()


def test_a_question_that_no_server_takes_is_a_failed_row(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag()])
    rows = (folder / "eval.jsonl").read_text().replace("what of the parcel", "too long: what of the parcel")
    (folder / "eval.jsonl").write_text(rows)
    assert main(["run", str(file)]) == 0
    (figures,) = newest().comparison.candidates
    assert (figures.n_scored, figures.n_failed) == (11, 1)
    assert list(figures.failures) == ["its search failed: HTTP 400: this row is too long"]
    assert figures.attempts_cost_unknown == 0, "what was refused is settled, and costs nothing"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"prices": {"one/m": {"input": 1, "output": 1}}}, "there is a cost limit and one/embed has no price"),
        ({"run": {}}, "is priced and there is no cost limit"),
        (
            {"prices": {"one/embed": {"input": 1, "output": 0}}, "run": {}},
            "one/embed is priced and there is no cost limit",
        ),
    ],
)
def test_embeddings_need_a_price_and_a_limit_as_answers_do(
    folder: Path, server: Served, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], said: str
) -> None:
    assert main(["run", str(write(folder, server, [rag()], **keys))]) == 1
    assert said in capsys.readouterr().err
    assert server.search_requests == 0


def test_what_a_killed_ingestion_paid_for_is_not_paid_for_again(tmp_path: Path) -> None:
    passages = 1000
    project = Project(tmp_path)
    with fault_server(latency_s=0.05) as server:
        file = indexing(tmp_path, server, passages)
        process = project.start("run", str(file))
        while len(server.embedded) < passages // 32 // 2:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        run_id = project.call("runs").stdout.split()[0]
        assert project.call("run", "--resume", run_id).returncode == 0
    sent = [text for request in server.embedded for text in request]
    assert len(set(sent)) == passages + 3
    assert len(sent) - len(set(sent)) <= 256, "what one round of requests brought and wasn't written yet"


def test_a_server_reranks_four_times_as_many_as_are_sent(folder: Path, server: Served) -> None:
    """The fault server ranks the shorter passage higher: each topic's part 0, however it was found."""
    file = write(folder, server, [rag(rerank="one/rank", top_k=2, mode="lexical")])
    assert main(["run", str(file)]) == 0
    assert server.embedded == []
    assert [len(texts) for _, texts in server.reranked] == [8] * 12
    (figures,) = newest().comparison.candidates
    assert figures.other_attempts == 12
    read = sum(words([question, *texts]) for question, texts in server.reranked)
    assert figures.cost_usd == asking(12) + read * RERANK / 1_000_000
    assert figures.cost_per_1k_usd == 1000 * figures.cost_usd / 12
    store = open_store()
    for row in store.results(store.runs()[0].id):
        topic = TOPICS[row.example % len(TOPICS)]
        assert row.passages == [f"{topic}-0.txt", f"{topic}-1.txt"]


def test_a_reranking_billed_by_searches_is_of_unknown_cost_and_never_free(folder: Path, server: Served) -> None:
    server.faults.search_units = True
    file = write(folder, server, [rag(rerank="one/rank", top_k=2, mode="lexical")])
    for paid in (12, 0):  # and again with the kept scores: nothing is sent, and what a request costs is still unknown
        assert main(["run", str(file)]) == 0
        (figures,) = newest().comparison.candidates
        assert (figures.n_scored, figures.other_attempts, figures.attempts_cost_unknown) == (12, paid, paid)
        assert figures.cost_usd == (asking(12) if paid else 0) and figures.cost_per_1k_usd is None
    first = open_store().runs()[1]
    longest = 8 * max(len(text) for _, texts in server.reranked for text in texts)
    assert 0 < first.reserved_usd <= 12 * (longest + 8 * 9 + 99) * RERANK / 1_000_000, "held against the limit"


def test_a_reranking_is_paid_for_once_whoever_asks_again(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag(rerank="one/rank", top_k=2, mode="lexical"), rag("again", rerank="one/rank", top_k=2, mode="lexical")])  # fmt: skip
    assert main(["run", str(file)]) == 0
    first, second = newest().comparison.candidates
    assert (first.other_attempts, second.other_attempts, server.search_requests) == (12, 0, 12)
    assert first.cost_per_1k_usd == second.cost_per_1k_usd
    ranked = [one.passages for one in open_store().results(newest().run.id)]
    assert main(["run", str(file)]) == 0
    assert server.search_requests == 12, "a later run finds what was ranked"
    later = newest()
    assert [one.passages for one in open_store().results(later.run.id)] == ranked
    assert [one.cost_usd for one in later.comparison.candidates] == [0, 0]
    assert later.comparison.candidates[0].cost_per_1k_usd == first.cost_per_1k_usd, "and what it cost"
    (folder / "docs" / "refund-1.txt").write_text("refund")
    assert main(["run", str(file)]) == 0
    assert {question.split()[-1] for question, _ in server.reranked[12:]} == {"refund?"}


@pytest.mark.parametrize("cache", [True, False])
def test_what_a_killed_run_had_reranked_is_not_paid_for_again(tmp_path: Path, cache: bool) -> None:
    n, in_flight = 60, 8
    project = Project(tmp_path)
    with fault_server(latency_s=0.05) as server:
        run = {"concurrency": in_flight, "max_cost_usd": 5, "cache": cache}
        file = write(tmp_path, server, [rag(rerank="one/rank", top_k=2, mode="lexical")], n=n, run=run)
        process = project.start("run", str(file))
        while len(server.reranked) < n // 2:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        run_id = project.call("runs").stdout.split()[0]
        done = project.call("run", "--resume", run_id, "--json", str(tmp_path / "report.json"))
        assert done.returncode == 0, done.stderr
        ranked = [question for question, _ in server.reranked]
        assert len(set(ranked)) == n and len(ranked) <= n + in_flight, "but for what was under way"
        (figures,) = json.loads((tmp_path / "report.json").read_text())["candidates"]
        assert figures["n_scored"] == n
        assert server.search_requests <= figures["other_attempts"] <= server.search_requests + in_flight
        asked = server.search_requests
        assert project.call("run", str(file)).returncode == 0
        assert server.search_requests == asked + (0 if cache else n), "without the cache another run asks anew"


def test_without_the_cache_a_resume_pays_for_no_question_again_and_another_run_for_each(
    folder: Path, server: Served
) -> None:
    n = 12
    file = write(folder, server, [rag()], n=n, run={"concurrency": 4, "max_cost_usd": 5, "cache": False})
    server.faults.missing_model = "m"  # questions are embedded, and the run stops
    assert main(["run", str(file)]) == 2
    embedded = [text for texts in server.embedded for text in texts]
    server.faults.missing_model = None
    assert main(["run", "--resume", newest().run.id, str(file)]) == 0
    assert [text for texts in server.embedded for text in texts] == embedded, "all of them were paid for"
    assert len([text for text in embedded if text.startswith("[ex-")]) == n
    assert main(["run", str(file)]) == 0
    assert len([text for texts in server.embedded for text in texts if text.startswith("[ex-")]) == 2 * n


def indexing(folder: Path, server: Served, passages: int) -> Path:
    """A comparison over so many passages of a table."""
    file = write(folder, server, [rag()], n=3, knowledge={"path": "k.csv"})
    (folder / "k.csv").write_text("text\n" + "\n".join(f"passage number {at}" for at in range(passages)))
    rows = [json.loads(row) | {"gold": ""} for row in (folder / "eval.jsonl").read_text().splitlines()]
    (folder / "eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return file


def attempts(folder: Path) -> Counter[str]:
    """How many embeddings the ledger holds, by state."""
    with closing(sqlite3.connect(folder / "home" / "ftvp.db")) as connection:
        return Counter(dict(connection.execute("SELECT state, count(*) FROM attempts WHERE purpose = 'embedding' GROUP BY 1")))  # fmt: skip


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_an_ingestion_that_is_paused_sends_nothing_and_one_that_is_cancelled_keeps_what_was_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages, in_flight = 4000, 8
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    project = Project(tmp_path)
    with fault_server(latency_s=0.2) as server:
        file = indexing(tmp_path, server, passages)
        process = project.start("run", str(file))
        until(lambda: len(server.embedded) >= 4)
        store = open_store()
        run_id = store.runs()[0].id
        now = run_progress(store, run_id)
        assert now.phase == "indexing" and now.can_pause
        store.pause(run_id, paused=True)
        until(lambda: run_progress(store, run_id).phase == "paused")

        def quiet() -> bool:
            before = server.search_requests
            time.sleep(1.5)
            return server.search_requests == before

        until(quiet)  # its process hears of the pause with its next beat; what was under way comes to its end
        sent = server.search_requests
        assert sent < passages // 32 and attempts(tmp_path) == {"answered": sent} and process.poll() is None
        store.pause(run_id, paused=False)
        until(lambda: server.search_requests > sent)
        store.cancel(run_id)
        assert process.communicate()[0] is not None and process.returncode == 2
        run = store.run(run_id)
        assert run.state == "cancelled"
        ended = attempts(tmp_path)
        assert sent < ended.total() < passages // 32
        assert ended["sent"] == 0 and ended["unknown"] <= in_flight
        assert server.search_requests <= ended.total() <= server.search_requests + in_flight
        before = len(server.embedded)
        assert project.call("run", "--resume", run_id).returncode == 0
    texts = [text for request in server.embedded for text in request]
    assert len(set(texts)) == passages + 3
    again = len(texts) - len(set(texts))
    assert again <= 32 * ended["unknown"], "only what was under way when it was cancelled is sent once more"
    assert len(server.embedded) - before <= (passages - 32 * (ended["answered"])) // 32 + 1 + 3 + ended["unknown"]


def test_what_was_embedded_before_the_limit_is_not_paid_for_again(folder: Path, server: Served) -> None:
    file = indexing(folder, server, 200)
    assert main(["run", str(file), "--max-cost", "0.00002"]) == 2
    store = open_store()
    run = store.runs()[0]
    assert 0 < len(server.embedded) < 200 // 32 and "leaves no room" in (run.cause or "")
    assert run.spent_usd == server.search_tokens * EMBED / 1_000_000
    assert main(["run", "--resume", run.id, "--max-cost", "5"]) == 0
    sent = [text for request in server.embedded for text in request]
    assert len(sent) == len(set(sent)) == 203


def test_a_run_that_waits_for_the_index_says_so_and_can_be_cancelled(folder: Path, server: Served) -> None:
    file = write(folder, server, [rag()])
    (folder / "home" / "chroma").mkdir(parents=True)
    with FileLock(folder / "home" / "chroma" / "ftvp.lock"):
        process = Project(folder).start("run", str(file))
        until(lambda: open_store().count_runs() == 1)
        run_id = open_store().runs()[0].id
        until(lambda: run_progress(open_store(), run_id).waits)
        assert run_progress(open_store(), run_id).phase == "indexing"
        open_store().cancel(run_id)
        assert process.communicate()[0] is not None and process.returncode == 2
    assert open_store().run(run_id).state == "cancelled" and server.embedded == []


def test_a_runs_end_reads_no_more_of_earlier_ones_than_it_needs(
    folder: Path, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(folder, server, [rag()])
    assert [main(["run", str(file)]) for _ in range(4)] == [0] * 4
    read: list[str] = []

    def counted(text: str, where: str) -> Spec:
        read.append(where)
        return parse(text, where)

    monkeypatch.setattr(outdated, "parse", counted)
    outdated.remove_outdated(open_store(), open_store().runs()[0].id)
    assert len(read) == 2, "its own, and that of the run before it"
    monkeypatch.setattr(outdated, "NEWEST", 2)
    read.clear()
    (folder / "docs" / "refund-1.txt").write_text("Refunds have changed.")
    assert main(["run", str(file)]) == 0
    assert {one.removeprefix("run ") for one in read} == {run.id for run in open_store().runs(limit=2)}
