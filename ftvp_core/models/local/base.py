"""A loaded base model with the adapters that were put on it, and which of them answers."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.models.constrained import Grammars, Processor
from ftvp_core.models.local.folders import check_adapter
from ftvp_core.models.local.loading import first_line, load_model, load_tokenizer
from ftvp_core.models.local.sharing import shareable_columns


class Base:
    """A loaded model with its tokenizer, and the adapters that were put on it."""

    def __init__(self, folder: Path, device: str | None = None, **loading: Any) -> None:
        """`device`: cpu or cuda; by default a GPU if there is one. `loading`: more for `from_pretrained`, such as a
        quantization. Raises UserError."""
        import torch
        from transformers import GenerationConfig
        from transformers.utils import logging

        logging.disable_progress_bar()  # of files that are on this disk
        self.folder = folder
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device != "cpu"
        if not self.on_gpu:
            torch.set_num_threads(threads())
        loading = {"dtype": torch.bfloat16 if self.on_gpu else torch.float32} | loading
        self.tokenizer: Any = load_tokenizer(folder)
        self.model: Any = load_model(folder, self.device, **loading)
        if "quantization_config" in loading:
            _unpacked(self.model)
        self.context: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.stops = _end_tokens(self.model, self.tokenizer)
        self.pad: int = next(
            (token for token in (self.tokenizer.pad_token_id, *sorted(self.stops)) if token is not None), 0
        )
        # A model's file may ask for sampling or penalties: the comparison file alone says how to generate.
        self.model.generation_config = GenerationConfig(eos_token_id=sorted(self.stops) or None, pad_token_id=self.pad)
        self.lock = threading.RLock()
        self._adapters: dict[Path, str] = {}
        self._alone: set[str | None] = set()
        self._peft: Any = None
        self._grammars: Grammars | None = None

    def constraint(self, schema: Mapping[str, Any]) -> Processor:
        """What holds one try of a row to its output schema. Raises UserError."""
        if self._grammars is None:
            self._grammars = Grammars(self.tokenizer, self.model.config.get_text_config().vocab_size, self.stops)
        return self._grammars.processor(schema)

    @cached_property
    def layers(self) -> int:
        """How many layers its cache has."""
        from transformers import DynamicCache

        return len(DynamicCache(config=self.model.config))

    @cached_property
    def shareable_columns(self) -> float:
        """See `sharing.shareable_columns`."""
        with self.as_arm(None):
            return shareable_columns(self.model)

    def add_adapter(self, folder: Path) -> str:
        """Load an adapter beside those that are there; returns its name here. Raises UserError."""
        from peft import PeftConfig, PeftModel

        folder = folder.resolve()
        if folder in self._adapters:
            return self._adapters[folder]
        check_adapter(folder)
        name = f"adapter{len(self._adapters)}"
        try:
            config = PeftConfig.from_pretrained(str(folder))
            if config.peft_type != "LORA":
                raise UserError(f"adapter {folder}", f"found one of type {config.peft_type}", "expected a LoRA")
            if self._peft is None:  # it changes the model in place; the first adapter is loaded again, to be checked
                with known_warnings():
                    self._peft = PeftModel.from_pretrained(
                        self.model, str(folder), adapter_name=name, torch_device=self.device
                    )
            missing = self._peft.load_adapter(str(folder), adapter_name=name, torch_device=self.device).missing_keys
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise UserError(f"adapter {folder}", f"doesn't fit {self.folder} ({first_line(error)})") from None
        if missing:  # it would answer as the base does
            raise UserError(f"adapter {folder}", f"doesn't fit {self.folder}: it has no weights for {missing[0]}")
        self.model.eval()
        self._adapters[folder] = name
        if not _is_plain(config):
            self._alone.add(name)
        return name

    def mixes(self, adapter: str | None) -> bool:
        """Whether its rows can be in a batch with other adapters'."""
        return adapter not in self._alone

    @contextmanager
    def rows(self, adapters: Sequence[str | None]) -> Iterator[Callable[..., Any]]:
        """Inside, a forward pass in which each row is answered through its own adapter, or the base alone.

        Several adapters at once must all mix.
        """
        if len(set(adapters)) == 1:
            with self.as_arm(adapters[0]):
                yield self.model
        else:
            with self.lock:
                yield partial(self._peft, adapter_names=[adapter or "__base__" for adapter in adapters])

    @contextmanager
    def as_arm(self, adapter: str | None) -> Iterator[None]:
        """Inside, the model is the base with this adapter; with None the base alone. One thread at a time."""
        with self.lock:
            if adapter is not None:
                self._peft.set_adapter(adapter, inference_mode=True)
            with self._peft.disable_adapter() if self._peft is not None and adapter is None else nullcontext():
                yield


def in_4_bits(device: str | None = None) -> dict[str, Any]:
    """What loads a base as QLoRA trains on it: NF4, double quantisation (Dettmers et al. 2023)."""
    import torch
    from transformers import BitsAndBytesConfig

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32 if device == "cpu" else torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _unpacked(model: Any) -> None:
    """Keep 4-bit layers as they are on a CPU with bf16.

    bitsandbytes 0.50 packs a layer for that CPU's own kernel at the first forward pass in eval mode, such as a
    validation's. The kernel has no gradient, so what is trained after that learns wrong, silently; and it rounds to
    bf16, so that a model would answer otherwise than it was trained.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def known_warnings() -> Iterator[None]:
    """PEFT 0.21 asks transformers 5.23 for a property that has a newer name: nothing that a user can act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out", UserWarning)  # it sets it right by itself
        yield


def threads() -> int:
    """OMP_NUM_THREADS, else the cores that others leave idle now, but at least half of this process's own.

    On two cores where others work too, one thread is several times as fast as two that wait for each other; where
    nobody does, two are nearly twice as fast.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    others = os.getloadavg()[0] if hasattr(os, "getloadavg") else cores
    return max(1, cores // 2, cores - round(others))


def _is_plain(config: Any) -> bool:
    """Whether a LoRA is no more than two matrices beside a layer's weights: PEFT takes no other in a mixed batch."""
    more = ("use_dora", "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication")
    return config.bias == "none" and not any(getattr(config, key, None) for key in more)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """What ends an answer: what the model's own settings say, and the tokenizer's end."""
    said = model.generation_config.eos_token_id if model.generation_config else None
    several = said if isinstance(said, list) else [said]
    return {token for token in (*several, tokenizer.eos_token_id) if token is not None}


def out_of_memory(error: Exception) -> bool:
    """Whether that is what torch's error means, on a GPU or a CPU."""
    import torch

    said = ("can't allocate memory", "not enough memory")  # torch's own words for a CPU's
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in said)
