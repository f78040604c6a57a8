"""Training speed and memory beside plain TRL: nice python -m tests.bench.tuning [MODEL_FOLDER] [--rows N] [--packing]

Both train the same rows with the same LoRA, batch and precision on the device that is there, each in a process of its
own, in turns, so that what else the machine does falls on both: read the ratios. Plain TRL is SFTTrainer as its manual
has it: prompt-completion rows, padded batches, bf16 on a GPU. Ours is a training as a run does it, without its dry run.
With `--packing` plain TRL lays a batch's full sequences end to end, and ours takes one after another.

Without a folder the model is a random Llama of about a billion parameters on a GPU, and the demo's on a CPU. Utilisation
is of the model's arithmetic (4 floating-point operations a frozen parameter and token: forward, and backward through it;
Kaplan et al. 2020 have 6 with its own gradient) against a matrix multiplication measured here, in the same precision.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ftvp_core.models.local import DEMO, Base
from ftvp_core.spec import TuneSpec
from ftvp_core.training.memory import peak_bytes, reset_peak

ROUNDS = 3
WORDS = [
    "refund",
    "card",
    "lost",
    "stolen",
    "transfer",
    "limit",
    "fee",
    "exchange",
    "rate",
    "top",
    "up",
    "pending",
    "declined",
    "cash",
    "abroad",
    "pin",
    "blocked",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--packing", action="store_true", help="in both")
    parser.add_argument("--side", choices=("ours", "plain"), help="one side, in this process; prints JSON")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measured(options.side, options.model, options.rows, options.batch, options.packing)))
        return
    with tempfile.TemporaryDirectory() as at:
        model = options.model or default_model(Path(at))
        rows = options.rows or (2000 if on_gpu() else 400)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
        for turn in range(ROUNDS):
            for side in ("ours", "plain") if turn % 2 else ("plain", "ours"):
                found[side].append(in_a_process(side, model, rows, options.batch, options.packing))
        report(found)


def in_a_process(side: str, model: Path, rows: int, batch: int, packing: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.tuning", str(model), "--rows", str(rows), "--batch", str(batch)]
    command += ["--side", side, *(["--packing"] if packing else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def report(found: dict[str, list[dict[str, float]]]) -> None:
    best = {side: max(runs, key=lambda run: run["tokens_per_s"]) for side, runs in found.items()}
    print(f"{'':8}{'tokens/s':>12}{'peak MB':>10}{'utilised':>10}{'last loss':>11}")
    for side, run in best.items():
        print(
            f"{side:8}{run['tokens_per_s']:12,.0f}{run['peak_bytes'] / 1e6:10,.0f}"
            f"{run['utilisation']:10.1%}{run['loss']:11.3f}"
        )
    ratios = sorted(
        ours["tokens_per_s"] / plain["tokens_per_s"] for ours, plain in zip(found["ours"], found["plain"], strict=True)
    )
    print(f"tokens a second, ours to plain TRL, pair by pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(f"peak memory, ours to plain TRL: {best['ours']['peak_bytes'] / best['plain']['peak_bytes']:.2f}")


def measured(side: str, model_at: Path, rows: int, batch: int, packing: bool) -> dict[str, float]:
    """One training: real tokens a second of its steps, without loading, and its peak memory."""
    tune = TuneSpec(
        batch_size=batch,
        epochs=1,
        dropout=0,
        warmup=0,
        validation=0,
        packing=packing,
        max_length=1024 if on_gpu() else 512,
    )
    draw = random.Random(0)
    base = Base(model_at)
    pairs = [
        (" ".join(draw.choices(WORDS, k=draw.randint(8, 120))), " ".join(draw.choices(WORDS, k=draw.randint(2, 12))))
        for _ in range(rows)
    ]
    reset_peak()
    with tempfile.TemporaryDirectory() as at:
        seconds, tokens, loss = (ours if side == "ours" else plain)(base, pairs, tune, Path(at))
    parameters = sum(parameter.numel() for parameter in base.model.parameters())
    return {
        "tokens_per_s": tokens / seconds,
        "peak_bytes": peak_bytes(base.on_gpu),
        "utilisation": 4 * parameters * tokens / seconds / peak_flops(base),
        "loss": loss,
    }


def ours(base: Base, pairs: list[tuple[str, str]], tune: TuneSpec, at: Path) -> tuple[float, int, float]:
    from ftvp_core.training.loop import Course, Settings, run
    from ftvp_core.training.methods import trainable
    from ftvp_core.training.rows import Row, labelled
    from ftvp_core.training.trainer import make_trainer
    from ftvp_core.types import Message

    rows = [Row(str(n), (Message("user", asked),), answer) for n, (asked, answer) in enumerate(pairs)]
    features = labelled(base, rows, tune.max_length, "bench")
    settings, course = Settings(tune, at, "bench", base.on_gpu), Course()
    trainer = make_trainer(trainable(base, tune, "bench"), base, features, [], settings)
    began = time.perf_counter()
    run(trainer, course, Silent(), settings)
    return time.perf_counter() - began, sum(len(one["input_ids"]) for one in features), course.log[-1][1]


class Silent:
    def emit(self, **_: Any) -> None:
        """Nobody watches."""

    def hold(self) -> float:
        return 0.0


def plain(base: Base, pairs: list[tuple[str, str]], tune: TuneSpec, at: Path) -> tuple[float, int, float]:
    """TRL's SFTTrainer on the same rows as prompt and completion, tokenised by itself before the clock starts."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for asked, answer in pairs
    ]
    arguments = SFTConfig(
        output_dir=str(at),
        per_device_train_batch_size=tune.batch_size,
        num_train_epochs=1,
        learning_rate=tune.rate,
        use_cpu=not base.on_gpu,
        bf16=base.on_gpu,
        gradient_checkpointing=False,
        max_length=tune.max_length,
        packing=tune.packing,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=base.on_gpu,
    )
    lora = LoraConfig(
        r=tune.rank, lora_alpha=tune.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = SFTTrainer(
        model=base.model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=base.tokenizer,
        peft_config=lora,
    )
    tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    return seconds, tokens, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]


def peak_flops(base: Base) -> float:
    """Floating-point operations a second of a large matrix multiplication, the best of a few."""
    import torch

    size = 8192 if base.on_gpu else 1024
    matrix = torch.randn(size, size, device=base.device, dtype=torch.bfloat16 if base.on_gpu else torch.float32)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        matrix @ matrix
        if base.on_gpu:
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def default_model(at: Path) -> Path:
    """The demo's on a CPU; on a GPU a random Llama of a billion parameters with the demo's tokenizer."""
    if not on_gpu():
        return DEMO
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    config = LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(at)
    tokenizer.save_pretrained(at)
    return at


if __name__ == "__main__":
    main()
