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
#: Rotary positions; biased and wider; learned positions; a sliding window of 64; a state instead of keys and values.
ARCHITECTURES = ("llama", "qwen2", "gpt2", "mistral", "mamba")


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
    usual = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    own: dict[str, dict[str, Any]] = {
        "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4},
        "mistral": {**usual, "num_hidden_layers": 2, "sliding_window": 64},
        "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    }
    config = AutoConfig.for_model(kind, **own.get(kind, {**usual, "num_hidden_layers": 2}), **same)
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
