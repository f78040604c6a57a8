"""A store of its own for each test, runs made by the command line, and pages opened on them."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from ftvp_core.store.opening import open_store
from ftvp_core.store.owner import owner
from ftvp_core.store.schema import results, runs
from ftvp_core.store.store import Store

ROOT = Path(__file__).parents[2]
Row = tuple[str, str, str]  # id, input, reference
ROWS: Sequence[Row] = [(f"q{at}", f"question {at}", "yes" if at % 2 else "no") for at in range(40)]


class Home:
    """The store under FTVP_HOME, and what a test does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def store(self) -> Store:
        return open_store()

    def run(self, answers: Mapping[str, Sequence[str | None]], rows: Sequence[Row] = ROWS, name: str = "small") -> str:
        """A finished run of recorded candidates: `answers` by candidate, None where there is no answer."""
        self._write("eval.csv", ("id", "input", "reference"), rows)
        lines = [f"name: {name}", "eval_set: {path: eval.csv}", "candidates:"]
        for at, (candidate, outputs) in enumerate(answers.items()):
            given = [(row[0], output) for row, output in zip(rows, outputs, strict=True) if output is not None]
            self._write(f"answers{at}.csv", ("id", "output"), given)
            lines.append(f"  - {{name: '{candidate}', recorded: answers{at}.csv}}")
        file = self.folder / "comparison.yaml"
        file.write_text("\n".join(lines), encoding="utf-8")
        main(["run", str(file)])
        return self.store.runs()[0].id

    def change(self, run_id: str, **values: Any) -> None:
        """Put a run into a state that is hard to catch it in."""
        with self.store.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(**values))

    def begin(self, run_id: str, done: int, total: int) -> None:
        """Make it a run that this process works on, with its last rows still to come."""
        progress = {"phase": "answering", "pauses": True, "done": done, "total": total}
        self.change(
            run_id, state="running", owner=owner(), beat_at=time.time(), progress=progress, finished_at=None
        )  # fmt: skip
        with self.store.writing() as connection:
            connection.execute(results.delete().where(results.c.run_id == run_id, results.c.example >= done // 2))

    def _write(self, name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("FTVP_HOME", str(tmp_path / "home"))
    for name in ("FTVP_DATABASE_URL", "FTVP_ACCESS_KEY", "FTVP_VIEWER_ONLY"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path)


@pytest.fixture
def opened() -> Callable[..., AppTest]:
    def open_page(page: str, run_id: str | None = None) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        if page != "app.py":
            at.switch_page(page)
        if run_id is not None:
            at.query_params["run"] = run_id
        at.run()
        return at

    return open_page


def said(at: AppTest) -> str:
    """Everything that the page says in words."""
    kinds = (at.title, at.header, at.subheader, at.markdown, at.text, at.caption, at.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)
