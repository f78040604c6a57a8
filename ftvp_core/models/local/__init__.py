"""A causal language model on this machine: transformers, with LoRA adapters side by side on the one base.

One function, `prompt_ids`, makes a prompt's tokens for answering and for training. Nothing is ever cut: a
prompt that leaves no room for an answer is that row's failure.
"""

from ftvp_core.models.local.answering import Local, Together, open_model
from ftvp_core.models.local.base import Base, in_4_bits, known_warnings, out_of_memory, threads
from ftvp_core.models.local.folders import (
    DEMO,
    HUB_FILES,
    base_folder,
    chat_template_key,
    check_adapter,
    check_folders,
    context_window,
    found_by,
    resolved,
)
from ftvp_core.models.local.prompts import PLAIN_TEMPLATE, BadPrompt, answer_ids, prompt_ids

__all__ = [
    "DEMO",
    "HUB_FILES",
    "PLAIN_TEMPLATE",
    "BadPrompt",
    "Base",
    "Local",
    "Together",
    "answer_ids",
    "base_folder",
    "chat_template_key",
    "check_adapter",
    "check_folders",
    "context_window",
    "found_by",
    "in_4_bits",
    "known_warnings",
    "open_model",
    "out_of_memory",
    "prompt_ids",
    "resolved",
    "threads",
]
