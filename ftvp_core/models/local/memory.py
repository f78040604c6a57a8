"""How many rows can be in one batch by the memory that is free. An estimate: what then doesn't fit is halved."""

from pathlib import Path
from typing import Any

#: The part of the free memory that a batch is planned to take. Copies, logits and fragments need some of the rest.
SHARE = 0.5
#: A pass holds about this many values of the hidden size for each token: its layers' inputs, queries and the wide
#: middle of one feed-forward, three times four hidden sizes in a Llama.
VALUES_A_TOKEN = 16


def row_bytes(model: Any, prompt: int, columns: int) -> int:
    """What a batch takes for each row, of `columns` in the cache and `prompt` tokens in its widest pass."""
    work: int = VALUES_A_TOKEN * _config(model).hidden_size * model.dtype.itemsize
    return columns * token_bytes(model) + prompt * work


def token_bytes(model: Any) -> int:
    """What one token's keys and values take in all layers; 0 for a model without attention."""
    config = _config(model)
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 0
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _config(model: Any) -> Any:
    return model.config.get_text_config()


def free_bytes(device: Any) -> int:
    """Memory that nobody has, or that is free again for the asking."""
    import psutil
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(kept)
    free: int = psutil.virtual_memory().available
    try:  # a container's own limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return free
    used: int = psutil.Process().memory_info().rss
    return min(free, max(0, limit - used))
