"""Which models' batches can go on from a shared prefix; the others go through transformers' own `generate`."""

import math
from typing import Any

from ftvp_core.models.local.cache import new_cache, prefix_of, select


def shareable_columns(model: Any) -> float:
    """How many columns a batch may have whose cache is put together from prefixes: 0 where it can't be.

    The model must keep every token's keys and values (no state that is folded up as in a state-space model), take
    positions, and not scale them by the batch's longest row; a sliding window is no matter while it isn't full.
    That it then answers alike is tried, on a few tokens.
    """
    import inspect

    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    takes = inspect.signature(model.forward).parameters
    if not {"past_key_values", "position_ids", "logits_to_keep"} <= takes.keys() or _scales_by_length(model):
        return 0
    layers = DynamicCache(config=model.config).layers
    if not layers or not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return 0
    windows = [layer.sliding_window for layer in layers if type(layer) is DynamicSlidingWindowLayer]
    if "local" in getattr(model.config, "attention_layers", ()):  # GPT-Neo's own window, of which its cache is not told
        windows.append(model.config.window_size)
    try:
        alike = _answers_alike(model, len(layers))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return 0  # its own way with a cache: transformers' `generate` knows it
    return min(windows, default=math.inf) if alike else 0


def _scales_by_length(model: Any) -> bool:
    """Rotary positions whose frequencies change with the longest row so far: a prefix alone has others."""
    kinds = [str(getattr(module, "rope_type", "")) for module in model.modules()]
    return any(kind in said for said in kinds for kind in ("dynamic", "longrope"))


def _answers_alike(model: Any, layers: int) -> bool:
    """Whether logits after a prefix, padding and a moved row are those of the whole text in one pass."""
    import torch

    ids = (torch.arange(9) * 7 + 3) % model.config.get_text_config().vocab_size
    ids = ids.to(model.device)

    def after(cache: Any, tokens: Any, real: Any) -> Any:
        positions = (real.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        return model(
            input_ids=tokens, attention_mask=real, position_ids=positions, past_key_values=cache, use_cache=True
        ).logits

    with torch.inference_mode():
        whole = model(input_ids=ids[None], use_cache=False).logits[0]
        first = new_cache(layers, [None], 4)
        after(first, ids[None, :4], torch.ones(1, 4, dtype=torch.long, device=model.device))
        prefix = prefix_of(first, ids[:4].tolist())
        batch = new_cache(layers, [prefix, prefix.cut(2)], 6)
        real = torch.tensor([[1] * 9, [0] * 2 + [1] * 2 + [0] * 2 + [1] * 3], device=model.device)
        rests = torch.stack([ids[4:], torch.cat([ids[:2], ids[2:5]])])
        found = after(batch, rests, real)[:, -1]
        select(batch, [1])
        one = torch.ones(1, 1, dtype=torch.long, device=model.device)
        last = after(batch, ids[None, 5:6], torch.cat([real[1:], one], dim=1))[:, -1]
    pairs = [(found[0], whole[8]), (found[1], whole[4]), (last[0], whole[5])]
    # A wrong position or column moves logits by tens of percent; half precision by less than this.
    allowed = 1e-3 if whole.dtype == torch.float32 else 0.1
    return all(bool((a - b).norm() <= allowed * b.norm()) for a, b in pairs)
