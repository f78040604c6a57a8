"""Folders that are complete or absent: a checkpoint, a tuned model.

MARKER is written last. It holds what there is to know of the folder, as JSON, and the sizes of its files: one that was
cut or lost since isn't whole any more.
"""

import json
import os
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

MARKER = "ftvp.json"


def read_marker(folder: Path) -> dict[str, Any]:
    """What a folder's marker says; nothing where there is none, or it can't be read."""
    try:
        said = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def write_marker(folder: Path, content: Mapping[str, Any]) -> None:
    """Makes the folder complete: in one rename, after all its files are on the disk, whatever a power cut does."""
    to_disk(folder)
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    new = folder / f".{MARKER}"
    new.write_text(json.dumps({**content, "sizes": sizes}) + "\n", encoding="utf-8")
    sync(new)
    new.rename(folder / MARKER)
    sync(folder)


def is_whole(folder: Path, files: str = "*") -> bool:
    """Whether it has its marker, and those of its `files` (a pattern) the sizes that they had by then."""
    said = read_marker(folder)
    sizes: Mapping[str, int] = said.get("sizes", {})
    return bool(said) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in sizes.items()
        if fnmatch(name, files)
    )


def to_disk(folder: Path) -> None:
    """Returns when the folder's files and their names are on the disk."""
    for file in folder.iterdir():
        sync(file)
    sync(folder)


def sync(path: Path) -> None:
    """Returns when a file is on the disk, or a folder's names are."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
