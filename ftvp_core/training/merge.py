"""An adapter and its base as one model: what servers load that know no adapters."""

import shutil
from pathlib import Path

from ftvp_core.errors import UserError
from ftvp_core.models.local import Base, check_adapter, known_warnings


def merge(base: Path, adapter: Path, to: Path) -> None:
    """Write the merged model into the new folder `to`, in the base's own precision; whole or not at all.

    Raises UserError where the adapter doesn't fit, or merging gives no numbers.
    """
    import torch
    from peft import PeftModel

    check_adapter(adapter)
    loaded = Base(base, "cpu")  # a merge is done once: memory is what matters, not speed
    part = to.with_name(f".{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with known_warnings():
            tuned = PeftModel.from_pretrained(loaded.model, str(adapter), torch_device="cpu")
        merged = tuned.merge_and_unload(safe_merge=True)
        merged.to(_precision(base)).save_pretrained(part, safe_serialization=True)
        loaded.tokenizer.save_pretrained(part)
        part.rename(to)
    except (ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise UserError(
                f"adapter {adapter}", "merging doesn't fit in memory", "merge on a larger machine"
            ) from None
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"adapter {adapter}", f"can't be merged into {base} ({first})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _precision(base: Path) -> object:
    """The number format of the base's files: a merge in another would double or halve them."""
    import torch
    from transformers import AutoConfig

    kept = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).dtype
    return kept if isinstance(kept, torch.dtype) else torch.float32
