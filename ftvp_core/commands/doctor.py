"""`doctor`: what this installation needs, looked at one by one, each with what to do about it."""

import argparse
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from ftvp_core.errors import FtvpError, RunStopped

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
#: Below it an adapter, an index or a long run soon has no room.
LITTLE_ROOM_BYTES = 2 << 30
#: As long an index that another process uses is waited for.
BUSY_S = 3


class Looked(NamedTuple):
    """What one look came to. Only a `wrong` keeps something from working."""

    state: Literal["ok", "note", "wrong"]
    said: str


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser("doctor", help="look at what this installation needs, and say what is wrong with it")
    doctor.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    looked = []
    for look in LOOKS:
        for one in look():
            looked.append(one)
            print(f"{one.state:<6} {one.said}", flush=True)
    wrong = sum(one.state == "wrong" for one in looked)
    print(f"{wrong} of {len(looked)} looked at are wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def _python() -> Iterator[Looked]:
    yield Looked("ok", f"Python {platform.python_version()} on {platform.platform()}")


def _packages() -> Iterator[Looked]:
    from packaging.requirements import Requirement

    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    pins = [Requirement(line) for line in lines if line]
    asked = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    off = [
        f"{pin.name} {found or 'missing'} (expected {pin.specifier})"
        for pin in asked
        if (found := _other(pin.name, pin.specifier.contains)) is not None
    ]
    if off:
        yield Looked("wrong", f"packages: {'; '.join(off)}; run: make install")
    else:
        yield Looked("ok", f"packages: all {len(asked)} as requirements.txt pins them")


def _other(name: str, fits: Callable[[str], bool]) -> str | None:
    """A package's version where it isn't the one that fits; "" where it is missing."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return ""
    return None if fits(found) else found


def _home() -> Iterator[Looked]:
    from ftvp_core.store.opening import home

    folder = home()
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    said = f"state: {folder}, {free / 2**30:,.1f} GiB free"
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield Looked("wrong", f"{said}: it can't be written; name another folder in FTVP_HOME")
    elif free < LITTLE_ROOM_BYTES:
        yield Looked("note", f"{said}: little for adapters, indexes and long runs; make room, or set FTVP_HOME")
    else:
        yield Looked("ok", said)


def _store() -> Iterator[Looked]:
    from ftvp_core.store.opening import open_store
    from ftvp_core.store.schema import HEAD

    store = open_store()
    where = store.engine.url.render_as_string(hide_password=True)
    yield Looked("ok", f"store: {where}, version {HEAD}, {store.count_runs():,} runs")


def _index() -> Iterator[Looked]:
    from ftvp_core.alone import Unseen
    from ftvp_core.candidates.chroma import SERVER, chroma
    from ftvp_core.store.opening import home

    url = os.environ.get(SERVER)
    where = f"the server at {urlsplit(url).hostname}" if url else home() / "chroma"  # a URL may hold a password
    try:
        with chroma(home() / "chroma", Unseen(time.monotonic() + BUSY_S)) as client:
            yield Looked("ok", f"index: {where}, {client.count_collections():,} collections")
    except RunStopped:
        yield Looked("note", f"index: {where} is in use by another process now; look again later")


def _model() -> Iterator[Looked]:
    from ftvp_core.models.local import check_folders, context_window

    check_folders("demo", None, Path())
    yield Looked("ok", f"demo model: shipped, {context_window('demo', Path()):,} tokens of context")


def _machine() -> Iterator[Looked]:
    import psutil
    import torch

    memory = psutil.virtual_memory()
    yield Looked(
        "ok",
        f"machine: {os.cpu_count()} cores, {memory.available / 2**30:,.1f} of {memory.total / 2**30:,.1f} GiB free",
    )
    if not torch.cuda.is_available():
        yield Looked("note", "GPU: none that PyTorch can use; local models and tuning run on the CPU")
        return
    for at in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(at)
        yield Looked(
            "ok", f"GPU {at}: {torch.cuda.get_device_name(at)}, {free / 2**30:,.1f} of {total / 2**30:,.1f} GiB free"
        )


def _access() -> Iterator[Looked]:
    if os.environ.get("FTVP_ACCESS_KEY"):
        yield Looked("ok", "access: pages ask for FTVP_ACCESS_KEY")
    else:
        yield Looked(
            "note", "access: whoever reaches the dashboard may run and read everything; on a host set FTVP_ACCESS_KEY"
        )


def _safely(look: Callable[[], Iterator[Looked]]) -> Callable[[], Iterator[Looked]]:
    """One that can't be looked at is wrong, and the others are looked at all the same."""

    def looked() -> Iterator[Looked]:
        try:
            yield from look()
        except FtvpError as error:
            yield Looked("wrong", str(error))
        except ImportError as error:
            yield Looked("wrong", f"{error}; run: make install")

    return looked


LOOKS = tuple(map(_safely, (_python, _packages, _home, _store, _index, _model, _machine, _access)))
