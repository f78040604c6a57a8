"""Small random models with a byte-level tokenizer, made in a moment: what a real one is, without its weights."""

from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PAD, END = 0, 1
USUAL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
WINDOW = {"sliding_window": 64}
#: What each architecture has of its own, small.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": USUAL,
    "qwen2": USUAL,
    "qwen3": {**USUAL, "head_dim": 16},
    "phi3": USUAL,
    # Learned positions.
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4},
    "opt": {"hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 64},
    # Keys and queries rotated in part; one key for all heads.
    "gpt_neox": USUAL,
    "falcon": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "multi_query": True},
    # A sliding window, in each layer or in some; one that its cache knows nothing of.
    "mistral": {**USUAL, **WINDOW},
    "gemma2": {**USUAL, **WINDOW, "head_dim": 16, "tie_word_embeddings": False},
    "gemma3_text": {
        **USUAL, **WINDOW, "head_dim": 16, "tie_word_embeddings": False,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt_neo": {
        "hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "window_size": 64,
    },
    # Distances instead of positions; a state instead of keys and values; both, layer by layer.
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "tie_word_embeddings": False},
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "lfm2": {**USUAL, "layer_types": ["conv", "full_attention"]},
}  # fmt: skip


def make_model(folder: Path, *, kind: str = "llama", template: str | None = CHAT_TEMPLATE, context: int = 256) -> Path:
    """A model's folder. `kind`: one of ARCHITECTURES."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = _tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    same: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": context,
        "initializer_range": 0.15,  # large enough that a random model has an opinion, and can learn one
        "eos_token_id": END,
        "bos_token_id": None,
        "pad_token_id": PAD,
    }
    config = AutoConfig.for_model(kind, **ARCHITECTURES[kind], **same)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int, *, size: float = 0.5, **settings: Any) -> Path:
    """A LoRA with random weights, so that it changes every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from ftvp_core.models.local import known_warnings

    torch.manual_seed(seed)
    with known_warnings():
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", **settings),
        )
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=size)
    model.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|end|>",
        additional_special_tokens=specials[2:],
    )
