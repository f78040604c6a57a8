"""Where a model or adapter lies: shipped, in a folder, or on the hub. Imports nothing heavy to say so."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from ftvp_core.errors import UserError
from ftvp_core.marker import read_marker

DEMO = Path(__file__).parents[3] / "assets" / "demo" / "model"
#: What a hub name brings: never a pickle, never code, no other format's folder.
HUB_FILES, NOT_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"], ["*/*"]
HUB_TIMEOUT_S = 10.0


def resolved(name: str, folder: Path) -> str:
    """A model's name in a comparison file of `folder`: a folder's path is relative to the file."""
    path = folder / Path(name).expanduser()
    return str(path.resolve()) if name != "demo" and (_is_path(name) or path.is_dir()) else name


def found_by(name: str, folder: Path) -> str:
    """What any program on this machine finds a comparison file's model by: its folder, or its hub name."""
    return str(DEMO) if name == "demo" else resolved(name, folder)


def base_folder(name: str) -> Path:
    """Where a model lies: `demo` is the shipped one, a folder is itself, anything else a hub name.

    Raises UserError when it isn't there, or has no safetensors.
    """
    folder = DEMO if name == "demo" else Path(name).expanduser()
    if not folder.is_dir():
        if _is_path(name):
            raise UserError(f"local/{name}", f"there is no folder {folder}", "name a folder with a transformers model")
        folder = _from_hub(name)
    for pattern, what in (("config.json", "config.json"), ("*.safetensors", "safetensors weights")):
        if not any(folder.glob(pattern)):
            raise UserError(f"local/{name}", f"{folder} has no {what}", "name a folder with a transformers model")
    return folder


def check_folders(name: str, adapter: str | None, folder: Path) -> None:
    """Raises UserError when a model or adapter that should be on this disk isn't. Imports and loads nothing."""
    here = resolved(name, folder)
    if _is_path(here):
        base_folder(here)
    if adapter:
        check_adapter(folder / adapter)
        trained_with = read_marker(folder / adapter).get("asked", {}).get("chat_template")
        if trained_with and _is_path(here) and trained_with != chat_template_key(base_folder(here)):
            raise UserError(
                f"adapter {folder / adapter}",
                f"was trained with another chat template than {here} has",
                "name the model that it was trained on, or train it again",
            )


def chat_template_key(folder: Path) -> str:
    """A hash of what a model's folder says of how a chat becomes a prompt."""
    template = ""
    with suppress(OSError, ValueError):  # older folders have it among the tokenizer's settings
        template = json.dumps(json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template"))
    with suppress(OSError, ValueError):
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return hashlib.sha256(template.encode()).hexdigest()


def context_window(name: str, folder: Path) -> int | None:
    """A model's context in tokens, as its config says; None where it isn't on this disk. Imports nothing."""
    here = resolved(name, folder)
    if not _is_path(here):
        return None
    try:
        config = json.loads((base_folder(here) / "config.json").read_text(encoding="utf-8"))
    except (UserError, OSError, ValueError):  # said where the candidate is planned
        return None
    window = config.get("max_position_embeddings")
    return window if isinstance(window, int) else None


def _is_path(name: str) -> bool:
    """A hub's name is `name` or `owner/name`."""
    return name == "demo" or name.startswith((".", "~")) or name.count("/") > 1


def check_adapter(folder: Path) -> None:
    """Raises UserError unless the folder holds a PEFT adapter in safetensors."""
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).is_file():
            raise UserError(f"adapter {folder}", f"has no {file}", "name the folder that a LoRA was saved to")


def _from_hub(name: str) -> Path:
    """A hub model's snapshot, downloaded unless it is here; offline the one that is here."""
    from httpx2 import HTTPError
    from huggingface_hub import model_info, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    def snapshot(*, local_files_only: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                allow_patterns=HUB_FILES,
                ignore_patterns=NOT_HUB_FILES,
                local_files_only=local_files_only,
            )
        )

    where = f"local/{name}"
    try:
        model_info(name, timeout=HUB_TIMEOUT_S)
        return snapshot(local_files_only=False)
    except GatedRepoError:  # before its parent
        said = "is gated on the hub: ask for access there and set HF_TOKEN"
    except (HFValidationError, RepositoryNotFoundError):
        said = "is neither a folder here nor a model on the hub"
    except (HTTPError, OSError) as error:
        try:
            return snapshot(local_files_only=True)
        except (HTTPError, OSError):
            said = f"is no folder here, and the hub can't be reached ({type(error).__name__})"
    raise UserError(where, said, "check the name, or give a folder with a transformers model")


def is_of_4_bits(adapter: Path) -> bool:
    """Whether an adapter of ours was trained on a base in 4 bits: on another base it answers worse, or not at all."""
    return bool(read_marker(adapter).get("tune", {}).get("method") == "qlora")
