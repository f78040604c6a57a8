"""A model's folder that is broken, each in its own way: one line that says what, and nothing answers from it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftvp_core.errors import UserError
from ftvp_core.models.local import Base, open_model
from tests.tiny_model import make_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("whole"))


def config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def file(name: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(content)

    return change


def without(weights: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        kept = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if weights not in name}
        save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:5000])


def one_shard_of_two(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    shards = {
        "lm_head.weight": "model-00002-of-00002.safetensors",
        "model.norm.weight": "model-00001-of-00002.safetensors",
    }
    index = {"metadata": {"total_size": 1}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def templates_without_a_default(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "additional_chat_templates").mkdir()
    for name in ("rag", "tool_use"):
        (folder / "additional_chat_templates" / f"{name}.jinja").write_text("x")


WEIGHTS = "model.safetensors"
OWN_CODE = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    # transformers would answer from random weights in their place.
    "a weight is missing": (without("layers.1.mlp.up_proj"), r"no weights for model\.layers\.1\.mlp\.up_proj\.weight; copy"),
    "a layer is missing": (without("layers.1."), r"no weights for model\.layers\.1\..* and 8 more; copy or download"),
    "more layers than weights": (config(num_hidden_layers=3), r"no weights for model\.layers\.2\."),
    "another model's weights": (config(model_type="bert"), "no weights for bert"),
    "another shape": (config(hidden_size=32), "another shape than its config.json says"),
    "a smaller vocabulary": (config(vocab_size=100), "another shape than its config.json says"),
    "cut": (cut, "cut or broken: copy or download"),
    "a pointer": (file(WEIGHTS, "version https://git-lfs.github.com/spec/v1\nsize 5\n"), "pointer of Git LFS; run `git lfs"),
    "a missing shard": (one_shard_of_two, "model-00002-of-00002.safetensors"),
    "code of its own": (config(model_type="x", auto_map=OWN_CODE), "no model's own code is run here: take one"),
    "unknown": (config(model_type="x"), "model type `x`"),
    "no JSON": (file("config.json", "{"), "not a valid JSON file"),
    "a list": (file("config.json", "[]"), "can't be loaded"),
    "no decoder": (config(model_type="t5"), "T5Config"),
    "no tokenizer": (no_tokenizer, "its tokenizer can't be loaded"),
    "a broken tokenizer": (file("tokenizer.json", "{}"), "its tokenizer can't be loaded"),
    "no default template": (templates_without_a_default, r"\(rag, tool_use\) is the default; name one"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_folder_is_refused_in_one_line(whole: Path, tmp_path: Path, how: str) -> None:
    change, said = BROKEN[how]
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    change(folder)
    with pytest.raises(UserError, match=rf"^local model .*model: .*{said}") as caught:
        open_model(str(folder), None, {})
    assert "\n" not in str(caught.value)


def test_code_beside_a_model_that_transformers_knows_is_not_run(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    config(auto_map=OWN_CODE)(folder)
    for module in ("configuration_x", "modeling_x"):
        (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert type(Base(folder).model).__name__ == "LlamaForCausalLM"
    assert not (tmp_path / "ran").exists()
