"""A run's tuned candidates for use elsewhere: the adapter or the merged model, each with its card."""

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ftvp_core.data.examples import from_json
from ftvp_core.errors import FtvpError, UserError, unexpected
from ftvp_core.marker import MARKER, read_marker
from ftvp_core.models.local import base_folder, check_adapter, found_by, resolved
from ftvp_core.report.card import Serving, anywhere, file_name, model_card, servings
from ftvp_core.report.load import Report, load_report
from ftvp_core.store import exports
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.checkpoints import no_room

log = logging.getLogger(__name__)

#: What an adapter's folder holds that others can use.
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
#: What its marker says that holds on another machine too: how to load it, and how it is to be asked.
TOLD_ELSEWHERE = ("tune", "rows", "asked", "versions")


def write_adapter(store: Store, report: Report, name: str, to: Path) -> Path:
    """Write an adapter and its card into a new folder in `to`; returns it. Raises UserError."""
    made = _new(to, name)
    for file, content in _adapter_files(store, report, name).items():
        _write(made / file, content)
    return made


def adapter_zip(store: Store, report: Report, name: str) -> bytes:
    """The same as a zip. Raises UserError."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for file, content in _adapter_files(store, report, name).items():
            packed.writestr(f"{file_name(name)}/{file}", content)
    return out.getvalue()


def served_here(report: Report, name: str, *, merged: bool) -> Mapping[str, Serving]:
    """By server, what serves it on this machine."""
    return servings(report, name, _base(report, name), merged=merged)


def merged_zip(folder: Path) -> bytes:
    """A merged model's folder as a zip. Weights don't shrink: they are stored as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, f"{folder.name}/{file.name}")
    return out.getvalue()


def write_merged(store: Store, report: Report, name: str, to: Path) -> Path:
    """Write the merged model and its card into a new folder in `to`; returns it. Raises UserError."""
    adapter = adapter_of(store, report, name)
    candidate = report.spec.by_name(name)
    base = base_folder(resolved(candidate.model_name, Path(report.run.folder)))
    made = _new(to, name)
    made.rmdir()  # it appears when it is complete
    try:
        if candidate.tune is not None and candidate.tune.method == "full":  # what was trained is the whole model
            _copy(adapter, made)
        else:
            from ftvp_core.training.merge import merge

            merge(base, adapter, made)
    except Exception as error:
        if not no_room(error):
            raise
        raise UserError(str(made), "there is no room for the model", "make room, or name another folder") from None
    _write(made / "README.md", _card(store, report, name, merged=True).encode())
    return made


def _copy(model: Path, to: Path) -> None:
    """Whole or not at all."""
    part = to.with_name(f".{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(model, part, ignore=shutil.ignore_patterns(MARKER))
        part.rename(to)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def export_next(store: Store) -> bool:
    """Make the oldest merged model that a page asked for; returns whether there was one."""
    row = exports.take(store)
    if row is None:
        return False
    try:
        report = load_report(store, row.run_id)
        at = [one.name for one in report.spec.candidates].index(row.candidate)  # two names may make one file name
        folder = home() / "exports" / row.run_id / f"{at}"
        shutil.rmtree(folder, ignore_errors=True)  # asked for again, or left by a kill
        made = write_merged(store, report, row.candidate, folder)
        exports.settle(store, row, path=str(made))
    except FtvpError as error:
        exports.settle(store, row, error=str(error))
    except Exception as error:  # a defect of ours or of a library: named, logged, and the worker lives
        log.exception("export of %s from run %s", row.candidate, row.run_id)
        exports.settle(store, row, error=unexpected(error))
    return True


def adapter_of(store: Store, report: Report, name: str) -> Path:
    """Where a tuned candidate's adapter lies. Raises UserError."""
    names = [one.name for one in report.spec.candidates]
    tuned = [one.candidate for one in report.comparison.tunes]
    if name not in tuned:
        known = ", ".join(tuned) or "none"
        raise UserError(f"run {report.run.id}", f"has no tuned candidate {name!r}", f"expected one of: {known}")
    candidate, row = report.spec.by_name(name), store.tunings(report.run.id).get(names.index(name))
    if candidate.adapter is not None:
        return Path(report.run.folder) / candidate.adapter
    if row is None or row.seconds is None or not Path(row.adapter).is_dir():
        raise UserError(f"candidate {name}", "its adapter isn't there", "go on with the run, or train it again")
    return Path(row.adapter)


def _adapter_files(store: Store, report: Report, name: str) -> dict[str, bytes]:
    """Raises UserError."""
    adapter, candidate = adapter_of(store, report, name), report.spec.by_name(name)
    if candidate.tune is not None and candidate.tune.method == "full":
        raise UserError(f"candidate {name}", "is a fully tuned model, not an adapter", "export it merged")
    check_adapter(adapter)
    files = {file: (adapter / file).read_bytes() for file in ADAPTER_FILES}
    config = json.loads(files["adapter_config.json"])
    config["base_model_name_or_path"] = anywhere(_base(report, name))
    files["adapter_config.json"] = json.dumps(config, ensure_ascii=False, indent=1).encode()
    said = read_marker(adapter)
    if kept := {key: said[key] for key in TOLD_ELSEWHERE if key in said}:
        files[MARKER] = json.dumps(kept, ensure_ascii=False, indent=1).encode()
    return {**files, "README.md": _card(store, report, name, merged=False).encode()}


def _card(store: Store, report: Report, name: str, *, merged: bool) -> str:
    train_set = from_json(store.pieces(report.run.train_set)) if report.run.train_set else None
    return model_card(report, name, train_set, anywhere(_base(report, name)), merged=merged)


def _base(report: Report, name: str) -> str:
    return found_by(report.spec.by_name(name).model_name, Path(report.run.folder))


def _new(to: Path, name: str) -> Path:
    """A new, empty folder for a candidate in `to`. Raises UserError."""
    made = to / file_name(name)
    try:
        made.mkdir(parents=True)
    except FileExistsError:
        raise UserError(str(made), "is there already", "name another folder with --to, or remove it") from None
    except OSError as error:
        raise UserError(str(made), f"can't be made ({error.strerror})", "name a folder that you can write") from None
    return made


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UserError(str(path), f"can't be written ({error.strerror})", "name another folder") from None
