"""What importing costs: the core pulls in no page, no client library and no model before it needs one."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ftvp_core
import ui

HEAVY = {
    "streamlit",
    "pandas",
    "openai",
    "torch",
    "transformers",
    "peft",
    "chromadb",
    "statsmodels",
    "sklearn",
    "scipy",
}
MODULES = [
    module.name
    for module in pkgutil.walk_packages(ftvp_core.__path__, "ftvp_core.")
    if not module.name.startswith("ftvp_core.store.migrations") and module.name != "ftvp_core.__main__"
]


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after the code, in a process of its own."""
    shown = "import sys; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    process = subprocess.run([sys.executable, "-c", f"{code}\n{shown}"], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


def test_the_core_imports_nothing_heavy() -> None:
    assert len(MODULES) > 30
    assert loaded_by("\n".join(f"import {name}" for name in MODULES)) & HEAVY == set()


def test_the_command_line_starts_without_numbers_or_network() -> None:
    assert loaded_by("import ftvp_core.__main__") & (HEAVY | {"numpy", "aiohttp", "sqlalchemy", "pydantic"}) == set()


def loaded_by_command(home: Path, *arguments: str) -> set[str]:
    """Every module, by its whole name, that a command imported until its end."""
    timed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ftvp_core", *arguments],
        env={**os.environ, "FTVP_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in timed.stderr.splitlines()}


def test_listing_runs_loads_the_store_alone(tmp_path: Path) -> None:
    loaded = loaded_by_command(tmp_path, "runs")
    assert "sqlalchemy" in loaded
    assert loaded & (HEAVY | {"numpy", "pydantic", "yaml", "aiohttp"}) == set()


def test_a_run_loads_what_it_needs_alone(tmp_path: Path) -> None:
    (tmp_path / "eval.csv").write_text("id,question,answer\nr1,one,maybe\nr2,two,maybe\n")
    (tmp_path / "old.csv").write_text("id,output\nr1,maybe\nr2,no\n")
    file = tmp_path / "c.yaml"
    file.write_text("eval_set: {path: eval.csv}\ncandidates: [{name: old, recorded: old.csv}]\n")
    loaded = loaded_by_command(tmp_path, "run", str(file))
    assert {"numpy", "pydantic", "tabulate"} <= loaded
    assert loaded & (HEAVY | {"aiohttp", "rapidfuzz", "numpy.ma"}) == set()


@pytest.mark.parametrize(("calls", "is_ours"), [("started()", False), ("starts(); started()", True)])
def test_garbage_is_put_off_in_a_process_of_our_own_alone(calls: str, is_ours: bool) -> None:
    code = (
        "import gc; from ftvp_core.commands.console import started, starts;"
        f" before = gc.get_threshold(), gc.get_freeze_count(); {calls};"
        " print(before != (gc.get_threshold(), gc.get_freeze_count()))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == str(is_ours)


def test_pages_import_no_model() -> None:
    names = [module.name for module in pkgutil.iter_modules(ui.__path__, "ui.")]
    assert len(names) > 8
    loaded = loaded_by("\n".join(f"import {name}" for name in names))
    assert loaded & {"torch", "transformers", "peft", "chromadb", "openai", "sklearn"} == set()
