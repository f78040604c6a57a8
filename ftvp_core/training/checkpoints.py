"""Checkpoints that are complete or absent, and from which a training goes on as if it had never stopped.

A checkpoint is a folder `checkpoint-STEP` of the trainer's own weights and log, with the optimiser's and the random
generators' tensors in safetensors, and a marker, written last: what there is besides. Nothing is pickled:
transformers' own optimizer.pt, scheduler.pt, rng_state.pth and training_args.bin aren't written.
"""

import errno
import random
import re
import shutil
from pathlib import Path
from typing import Any

from ftvp_core.marker import is_whole, read_marker

TENSORS = "optimizer.safetensors"
PREFIX = "checkpoint-"
BEST = "best-"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def newest(folder: Path) -> Path | None:
    """The last complete checkpoint; what isn't whole, as a killed process leaves it, is removed."""
    complete = []
    for checkpoint in folder.glob(f"{PREFIX}*"):
        if is_whole(checkpoint):
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=_step, default=None)


def only_newest(folder: Path, best_step: int | None) -> None:
    """Remove the checkpoints before the last one, and weights that were the best once."""
    kept = newest(folder)
    for checkpoint in folder.glob(f"{PREFIX}*"):
        if checkpoint != kept:
            shutil.rmtree(checkpoint)
    for best in folder.glob(f"{BEST}*"):
        if best.name != f"{BEST}{best_step}":
            shutil.rmtree(best)


def save_state(to: Path, optimizer: Any, scheduler: Any) -> dict[str, Any]:
    """Write the tensors of the optimiser and the generators; returns the rest, for the marker."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    state = optimizer.state_dict()
    tensors = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    plain: dict[str, dict[str, Any]] = {}
    for parameter, entries in state["state"].items():
        for name, value in entries.items():
            if torch.is_tensor(value):
                tensors[f"{parameter}.{name}"] = value.contiguous()
            else:
                plain.setdefault(str(parameter), {})[name] = value
    save_file(tensors, str(to / TENSORS))
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "groups": state["param_groups"],
        "plain": plain,
        "scheduler": scheduler.state_dict(),
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
        "threads": torch.get_num_threads(),
    }


def load_state(checkpoint: Path, optimizer: Any, scheduler: Any) -> None:
    """Put optimiser and scheduler where they were."""
    from safetensors.torch import load_file

    kept = read_marker(checkpoint)
    state: dict[int, dict[str, Any]] = {int(parameter): entries for parameter, entries in kept["plain"].items()}
    for key, value in load_file(str(checkpoint / TENSORS)).items():
        parameter, _, name = key.partition(".")
        if parameter != "rng":
            state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": kept["groups"]})
    scheduler.load_state_dict(kept["scheduler"])


def load_random(checkpoint: Path) -> None:
    """Put the random generators where they were. As many threads as then add in the same order."""
    import numpy as np
    import torch
    from safetensors.torch import load_file

    kept, tensors = read_marker(checkpoint), load_file(str(checkpoint / TENSORS))
    version, internal, gauss = kept["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = kept["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    torch.set_num_threads(kept["threads"])


def no_room(error: Exception) -> bool:
    """Whether a file couldn't be written for want of room. safetensors and copies of folders say so in words alone."""
    said = re.search(r"(?:os error |Errno )(\d+)", str(error))
    number = error.errno if isinstance(error, OSError) and error.errno else int(said[1]) if said else None
    return number in NO_ROOM


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))
