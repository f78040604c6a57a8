"""How fast a local model answers rows that share eight long shots: python -m tests.bench.generation [MODEL]

MODEL: `demo` (the default); `1b`, a Llama of random weights in the shape of Llama 3.2 1B, for a GPU; or a folder.
Three ways take turns on the same rows: transformers' `generate` one row at a time; `generate` in batches, sorted by
length and padded; and ours. The prompts, of 1,000 tokens and of 2,000, are the demo's form rows, each shot with a page
of its handbook. Ratios are medians over the turns (times on a busy machine are ratios). Agreement is with one row at a
time, with the gap between the two likeliest logits where an answer parts from it. Peak memory is of a process that goes
one way alone.

On a GPU (bf16) also the tokens a second of ours, prompts and all, beside what its memory bandwidth, measured by a copy,
allows: a step of a full batch reads all weights and the batch's keys and values once.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ftvp_core.models.local import DEMO, Local, open_model
from ftvp_core.models.local.memory import token_bytes
from ftvp_core.types import Answer, Example, Message, Request
from tests.one_at_a_time import gap_where_apart, generated

ROOT = Path(__file__).parents[2]
LENGTHS = (1000, 2000)
MAX_TOKENS = 48
VOCABULARY = 128_256
TURNS = 3
#: Rows in a turn, on a CPU and on a GPU, of which a batch of ours is a half; one at a time, the first of them.
ROWS_ON_CPU, ROWS_ON_GPU, ALONE = 64, 1024, 8
#: Rows in a batch of `generate`, which holds the whole prompt of each.
BATCHED_ON_CPU, BATCHED_ON_GPU = 16, 64


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = str(random_1b(Path(folder))) if name == "1b" else name
        arm = open_model(model, None, {})
        base = arm.group.base
        size = sum(weights.numel() for weights in base.model.parameters())
        print(f"{name}: {size / 1e6:,.1f} M parameters, {base.model.dtype}, on {machine(arm)}")
        for length in LENGTHS:
            if base.context is None or length + MAX_TOKENS <= base.context:
                measure(arm, model, length)


def measure(arm: Local, model: str, length: int) -> None:
    asked = requests(arm, length)
    prompts = [len(arm.prompt_ids(one)) for one in asked]
    print(f"\n{min(prompts):,} to {max(prompts):,} tokens, {len(asked)} rows")
    ways: dict[str, Way] = {"one at a time": alone, "batched generate": batched, "ours": ours}
    a_second: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, list[str]] = {}
    for turn in range(TURNS + 1):  # the first warms up
        for way, answer in ways.items():
            some = asked[:ALONE] if answer is alone else asked
            started = time.perf_counter()
            found[way] = answer(arm, some)
            if turn:
                a_second[way].append(len(some) / (time.perf_counter() - started))
    for way, speeds in a_second.items():
        ratio = statistics.median(a / b for a, b in zip(speeds, a_second["one at a time"], strict=True))
        memory = subprocess.run(
            [sys.executable, "-m", "tests.bench.generation", model, ways[way].__name__, str(length)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        print(f"{way:17} {statistics.median(speeds):8.2f} rows/s {ratio:6.1f} ×  {memory}")
    agreement(arm, asked, found)
    if arm.on_gpu:
        bound(arm, asked)


def agreement(arm: Local, asked: Sequence[Request], found: dict[str, list[str]]) -> None:
    base = arm.group.base
    expected = [generated(base.model, arm.prompt_ids(one), MAX_TOKENS) for one in asked]
    texts = [base.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in expected]
    print(f"answers of {statistics.mean(map(len, expected)):.1f} tokens")
    for way in ("batched generate", "ours"):
        apart = [at for at, text in enumerate(texts) if found[way][at] != text]
        gaps = [
            gap_where_apart(base.model, base.tokenizer, arm.prompt_ids(asked[at]), expected[at], found[way][at])
            for at in apart
        ]
        said = f", largest gap of the others {max(gaps):.2g}" if gaps else ""
        print(f"{way:17} agrees in {len(asked) - len(apart)} of {len(asked)}{said}")


def bound(arm: Local, asked: Sequence[Request]) -> None:
    started = time.perf_counter()
    tokens = [answer.usage.output or 0 for answer in answered(arm, asked)]
    a_second = sum(tokens) / (time.perf_counter() - started)
    model, rows = arm.group.base.model, min(len(asked), arm.batch_size // 2)
    head, embedded = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    weights = sum(one.nbytes for one in model.parameters()) - (0 if head is embedded else embedded.nbytes)
    columns = len(arm.prompt_ids(asked[0])) + statistics.mean(tokens) / 2
    bandwidth = copied(arm.group.base.device)
    most = rows * bandwidth / (weights + rows * columns * token_bytes(model))
    print(f"{a_second:,.0f} tokens/s; {bandwidth / 1e9:,.0f} GB/s allow {most:,.0f} in batches of {rows}")


def copied(device: str, size: int = 2**30, turns: int = 10) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    block = torch.empty(size, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    other.copy_(block)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(turns):
        other.copy_(block)
    torch.cuda.synchronize()
    return turns * 2 * size / (time.perf_counter() - started)


# The three ways: texts of answers to requests, in order

Way = Callable[[Local, Sequence[Request]], list[str]]


def alone(arm: Local, asked: Sequence[Request]) -> list[str]:
    base = arm.group.base
    answers = [generated(base.model, arm.prompt_ids(one), MAX_TOKENS) for one in asked]
    return [base.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in answers]


def batched(arm: Local, asked: Sequence[Request]) -> list[str]:
    import torch

    base, rows = arm.group.base, BATCHED_ON_GPU if arm.on_gpu else BATCHED_ON_CPU
    prompts = [arm.prompt_ids(one) for one in asked]
    order = sorted(range(len(asked)), key=lambda at: len(prompts[at]))
    found = [""] * len(asked)
    for first in range(0, len(order), rows):
        some = [prompts[at] for at in order[first : first + rows]]
        width = max(map(len, some))
        ids = torch.tensor([[base.pad] * (width - len(one)) + one for one in some], device=base.device)
        real = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in some], device=base.device)
        with torch.inference_mode():
            whole = base.model.generate(input_ids=ids, attention_mask=real, max_new_tokens=MAX_TOKENS, do_sample=False)[
                :, width:
            ].tolist()
        for at, tokens in zip(order[first : first + rows], whole, strict=True):
            end = next((n for n, token in enumerate(tokens) if token in base.stops), len(tokens))
            found[at] = base.tokenizer.decode(tokens[:end], skip_special_tokens=True)
    return found


def ours(arm: Local, asked: Sequence[Request]) -> list[str]:
    return [answer.output for answer in answered(arm, asked)]


def answered(arm: Local, asked: Sequence[Request]) -> list[Answer]:
    """As a run asks, once it asks for as many as it does at the most."""
    found = []
    for first in range(0, len(asked), arm.batch_size):
        for answer in arm.answer_batch(asked[first : first + arm.batch_size]):
            assert isinstance(answer, Answer), answer
            found.append(answer)
    return found


# What they work on


def requests(arm: Local, length: int) -> list[Request]:
    """Rows behind the same eight shots, as long as `length` tokens allow."""
    n = ROWS_ON_GPU if arm.on_gpu else ROWS_ON_CPU
    with (DEMO.parent / "form_train.csv").open(encoding="utf-8") as file:
        rows = [(row["input"], row["reference"]) for row in csv.DictReader(file)]
    rows = [*rows[:8], *islice(cycle(rows[8:]), n)]
    book = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DEMO.parent / "handbook").glob("*.md")))

    def asked(page: int) -> list[Request]:
        shots = []
        for n, (text, answer) in enumerate(rows[:8]):
            said = book[n * page : (n + 1) * page]
            shots += [Message("user", f"{said}\n\n{text}"), Message("assistant", answer)]
        return [
            Request(Example(text, text, (answer,), {}), (*shots, Message("user", text)), max_tokens=MAX_TOKENS)
            for text, answer in rows[8:]
        ]

    sizes = range(1500, 0, -10)
    return next(found for size in sizes if len(arm.prompt_ids((found := asked(size))[0])) <= length)


def random_1b(folder: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    AutoTokenizer.from_pretrained(DEMO).save_pretrained(folder)
    file = folder / "tokenizer.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    known = said["model"]["vocab"]
    # A word for each token that the model can say, else its answers would all be alike.
    taken = {*known.values(), *(token["id"] for token in said["added_tokens"])}
    known |= {f"w{number}": number for number in range(VOCABULARY) if number not in taken}
    file.write_text(json.dumps(said), encoding="utf-8")
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192}
    config = LlamaConfig(
        vocab_size=VOCABULARY, tie_word_embeddings=True, eos_token_id=1, bos_token_id=None, **shape, **heads
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def machine(arm: Local) -> str:
    import torch

    if arm.on_gpu:
        return str(torch.cuda.get_device_name())
    return f"{torch.get_num_threads()} of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def memory_of(model: str, way: str, length: int) -> None:
    """Prints the peak of a process that goes one way, and what of it the model itself took."""
    import torch

    arm = open_model(model, None, {})
    asked = requests(arm, length)
    before = torch.cuda.memory_allocated() if arm.on_gpu else resident()
    {"alone": alone, "batched": batched, "ours": ours}[way](arm, asked[:ALONE] if way == "alone" else asked)
    peak = torch.cuda.max_memory_allocated() if arm.on_gpu else resident()
    print(f"{peak / 2**20:,.0f} MiB at the most, {(peak - before) / 2**20:,.0f} of it for answering")


def resident() -> int:
    """This process's peak so far, in bytes (Linux; `getrusage` would tell of the parent's too)."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    if len(sys.argv) > 2:
        memory_of(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "demo")
