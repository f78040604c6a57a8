"""A kill while a teacher labels: what is answered isn't asked again, and the student is the one it would have been."""

import json
import sqlite3
from contextlib import closing

from tests.fault_server import fault_server, is_right
from tests.faults.conftest import Project
from tests.faults.test_kill import until_served
from tests.tiny_model import make_model

ROWS, IN_FLIGHT = 60, 4


def adapters(project: Project) -> list[str]:
    with closing(sqlite3.connect(project.folder / "home" / "ftvp.db")) as connection:
        return [row[0] for row in connection.execute("SELECT adapter FROM tunings WHERE seconds IS NOT NULL")]


def test_a_kill_while_a_teacher_labels_costs_what_was_under_way_and_changes_no_student(project: Project) -> None:
    make_model(project.folder / "tiny")
    with fault_server(latency_s=0.05, f429=0.1) as served:
        project.write(served, n=6, concurrency=IN_FLIGHT, cache=False)
        rows = [{"id": f"t{at}", "question": f"[ex-{500 + at}] right?", "answer": "yes"} for at in range(ROWS)]
        (project.folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
        prompt = {"user": "{question}"}
        tune = {"teacher": "m", "epochs": 1, "batch_size": 16, "max_length": 64}
        student = {"name": "s", "model": "local/tiny", "prompt": prompt, "sampling": {"max_tokens": 2}, "tune": tune}
        project.edit(
            train_set={"path": "train.jsonl"},
            candidates=[{"name": "m", "model": "sim/m", "prompt": prompt}, student],
        )
        process = project.start("run", str(project.file))
        until_served(served, 30)
        process.kill()
        process.communicate()
        labels = {example for arm, example in project.finished() if arm == 2}
        asked = {at: served.attempts["m", 500 + at] for at in labels}
        assert len(labels) > 10 and not adapters(project)

        status, report, _ = project.run("--resume", project.newest()[0])
        assert (status, report["state"]) == (0, "done")
        assert {at: served.attempts["m", 500 + at] for at in labels} == asked
        assert sum(served.answered.values()) <= ROWS + 6 + IN_FLIGHT
        (one,) = report["distillations"]
        right = sum(is_right("m", 500 + at) for at in range(ROWS))
        assert (one["kept"], one["dropped"]) == (right, {"wrong": ROWS - right})
        assert served.requests <= one["labels"]["attempts"] + report["candidates"][0]["attempts"]
        assert one["labels"]["attempts"] == report["candidates"][1]["other_attempts"]

        status, uninterrupted, _ = project.run()
    assert status == 0
    first, second = adapters(project)
    assert first == second
    assert uninterrupted["candidates"][1]["accuracy"] == report["candidates"][1]["accuracy"]
