"""Transformers' own `generate`, one row at a time: what a batch's answers are held against."""

from typing import Any


def generated(model: Any, ids: list[int], max_tokens: int) -> list[int]:
    """The likeliest tokens after these, with the end token if it comes."""
    import torch

    prompt = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        whole = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_tokens, do_sample=False
        )
    tokens: list[int] = whole[0, len(ids) :].tolist()
    return tokens


def gap_where_apart(model: Any, tokenizer: Any, ids: list[int], expected: list[int], text: str) -> float:
    """How far apart the two likeliest tokens' logits are where `text` stops following the expected tokens."""
    import torch

    def follows(n: int) -> bool:
        return text.startswith(tokenizer.decode(expected[:n], skip_special_tokens=True))

    shared = max(n for n in range(len(expected)) if follows(n))
    with torch.inference_mode():
        logits = model(torch.tensor([[*ids, *expected[:shared]]], device=model.device)).logits[0, -1].float()
    best, second = logits.topk(2).values.tolist()
    return float(best - second)
