"""The methods: what of a model is trained, how it is loaded for that, and what is saved of it.

`lora`: adapters beside the frozen base. `qlora`: the same, the base held in 4 bits, when it answers too. `full`: every weight, in float32; what is saved
is a whole model's folder.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.models.local import HUB_FILES, Base, in_4_bits, known_warnings
from ftvp_core.spec import TuneSpec
from ftvp_core.training.rows import NO_LOSS, Feature

#: Rows on which the tuned model must differ from its base.
COMPARED_ROWS = 8


def load(folder: Path, tune: TuneSpec, where: str, loaded: dict[str, Base]) -> Base:
    """The base as the method needs it. `loaded` keeps what the next training can use again. Raises UserError."""
    key = f"{folder} {tune.method} {tune.device}"
    if key not in loaded:
        loaded.clear()  # two bases may not fit
        loaded[key] = _load(folder, tune, where)
    base = loaded[key]
    if tune.method == "full" or tune.gradient_checkpointing:  # it comes back changed
        loaded.clear()
    return base


def _load(folder: Path, tune: TuneSpec, where: str) -> Base:
    import torch

    device = _device(tune.device, where)
    if tune.method == "full":
        return Base(folder, device, dtype=torch.float32)
    if tune.method == "lora":
        return Base(folder, device)
    return Base(folder, device, **in_4_bits(device))


def _device(asked: str, where: str) -> str | None:
    import torch

    if asked not in {"auto", "cpu", "cuda"}:
        raise UserError(f"{where}.tune.device", f"found {asked!r}", "expected auto, cpu or cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{where}.tune.device", "found cuda, and this machine has no GPU", "set auto or cpu")
    return None if asked == "auto" else asked


def trainable(base: Base, tune: TuneSpec, where: str) -> Any:
    """The model to train: the base with new adapters, or with method `full` the base. Raises UserError.

    The adapters' first weights are drawn here: the same for the same `tune.seed`.
    """
    from transformers import set_seed

    set_seed(tune.seed)
    if tune.method == "full":
        return base.model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    config = LoraConfig(
        r=tune.rank,
        lora_alpha=tune.alpha,
        lora_dropout=tune.dropout,
        target_modules=tune.target_modules if isinstance(tune.target_modules, str) else list(tune.target_modules),
        use_rslora=tune.rslora,
        use_dora=tune.dora,
        task_type="CAUSAL_LM",
    )
    linear = _linear(base.model)
    try:
        with known_warnings():
            if tune.method == "qlora":
                prepare_model_for_kbit_training(base.model, use_gradient_checkpointing=tune.gradient_checkpointing)
            return get_peft_model(base.model, config)
    except (ValueError, re.error) as error:
        said = str(error)
        able = ", ".join(name for name in linear if f"'{name}'" not in said)  # PEFT names what it doesn't take
        raise UserError(
            f"{where}.tune.target_modules",
            f"found {tune.target_modules!r} ({said.partition('. ')[0][:200]})",
            f"give one or several of: {able}",
        ) from None


def _linear(model: Any) -> list[str]:
    """The last names of the modules that `all-linear` means: all linear ones but the head."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = (
        name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear | Conv1D) and one is not head
    )
    return sorted({name.rpartition(".")[2] for name in linear})


def restore(base: Base, model: Any) -> None:
    """Leave the base as it was, for another training."""
    base.model.__dict__.pop("forward", None)  # TRL's, which takes the loss without the logits
    if model is not base.model:
        model.unload()
    base.model.eval()


def save(model: Any, base: Base, tune: TuneSpec, to: Path) -> None:
    """The adapter, or the whole model beside all that the base's folder has besides weights."""
    if tune.method != "full":
        model.save_pretrained(to)
        return
    import json

    import torch

    said = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    name = said.get("dtype") or said.get("torch_dtype") or "float32"
    model.to(getattr(torch, name, torch.float32)).save_pretrained(to)  # the size that the base has
    for pattern in HUB_FILES:
        for file in base.folder.glob(pattern):
            if file.suffix != ".safetensors" and not file.name.endswith(".safetensors.index.json"):
                shutil.copyfile(file, to / file.name)


def logits(model: Any, base: Base, features: Sequence[Feature]) -> list[Any]:
    """What follows the first rows' prompts, as the model sees it: one vector over its tokens each, on the CPU."""
    import torch

    found = []
    with torch.inference_mode():
        for feature in features[:COMPARED_ROWS]:
            prompt = [token for token, label in zip(*feature.values(), strict=True) if label == NO_LOSS]
            ids = torch.tensor([prompt], device=base.device)
            found.append(model(input_ids=ids).logits[0, -1].float().cpu())
    return found


def check_changed(before: Sequence[Any], after: Sequence[Any], where: str) -> float:
    """The largest difference between base and tuned model on training prompts. Raises RunStopped if there is none."""
    most = max(float((new - old).abs().max()) for old, new in zip(before, after, strict=True))
    if most == 0:
        raise RunStopped(f"{where}: training changed nothing: base and tuned model are equal; raise tune.learning_rate")
    return most
