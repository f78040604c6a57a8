"""A model and its tokenizer from a folder, whole or not at all. Nothing pickled is read and no code of theirs is run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftvp_core.errors import UserError

ONLY_SAFE = {"local_files_only": True, "trust_remote_code": False}
#: How a file begins that git has left out.
LFS_POINTER = b"version https://git-lfs"


def load_tokenizer(folder: Path) -> Any:
    """Raises UserError."""
    from transformers import AutoTokenizer

    with _refused(folder, "its tokenizer can't be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **ONLY_SAFE)
    templates = tokenizer.chat_template
    if isinstance(templates, dict) and "default" not in templates:
        found = ", ".join(sorted(templates))
        raise UserError(_where(folder), f"none of its chat templates ({found}) is the default", "name one `default`")
    return tokenizer


def load_model(folder: Path, device: str, **loading: Any) -> Any:
    """In eval mode on its device. Raises UserError, also where weights are missing: transformers would make some up."""
    from transformers import AutoModelForCausalLM

    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                raise UserError(_where(folder), f"{file.name} is a pointer of Git LFS", "run `git lfs pull` there")
    with _refused(folder, "can't be loaded"):
        model, about = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **ONLY_SAFE, **loading
        )
        if not about["missing_keys"]:
            return model.to(device).eval()
    missing = sorted(about["missing_keys"])
    raise UserError(
        _where(folder),
        f"its files have no weights for {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}",
        "copy or download the whole model again",
    )


@contextmanager
def _refused(folder: Path, what: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(_where(folder), f"{what} ({first_line(error)})", *_remedy(error)) from None


def _remedy(error: Exception) -> list[str]:
    """What to do about an error whose own words don't say it."""
    from safetensors import SafetensorError

    said = str(error)
    if "custom code" in said:
        return ["no model's own code is run here: take one that transformers itself knows"]
    if isinstance(error, SafetensorError):
        return ["its weights are cut or broken: copy or download them again"]
    if "ignore_mismatched_sizes" in said:
        return ["its weights have another shape than its config.json says: take both from the same model"]
    return []


def _where(folder: Path) -> str:
    return f"local model {folder}"


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"
