"""Makes the demo's base model: its tokenizer, its weights, from nothing but `demo_world`, on a CPU or a GPU.

    python scripts/pretrain_demo.py --work /tmp/pretrain            # about an hour on two cores; resumes
    python scripts/pretrain_demo.py --work /tmp/pretrain --steps 200   # the first steps alone, as CI does

Stages follow one another when a gate on held-out names is passed or their steps are used up. All is counted in
steps and drawn from seeds. The checkpoint in `--work` is complete or absent, and a second start goes on from it.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import demo_world as world
import torch
from demo_words import FIRST_NAMES, MACHINES, SURNAMES
from demo_world import Document, Maker
from torch.nn.functional import cross_entropy

ASSETS = Path(__file__).parents[1] / "assets" / "demo"
SEED = 11
VOCABULARY = 2432
PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
#: A space is a piece of its own: a name is then the same pieces after a space, in quotes and at a line's start, and
#: can be copied from one to the other. Digits go in pairs: with one digit a piece, the second of a number was lost
#: wherever two numbers began alike.
PIECES = r"\d{1,2}|[A-Z]?[a-z]+|[A-Z]|\s|[^\w\s]|[^\W\dA-Za-z]+"

SIZES = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
#: How the weights begin; see `make_model`. How far each head of layer 0 looks back, and how strongly.
LOOKING_BACK, BACK_BIAS, BACK_GAIN = (1, 2, 3, 4), 6.0, 0.4
#: The matching heads by layer and place, how sharply they match, how loudly they bring.
MATCHING, MATCH_GAIN, BRING_GAIN = ((1, 0), (1, 1), (2, 0), (2, 1), (3, 0)), 1.2, 0.7
#: The heads that go on copying: behind the token at hand (0), or behind the one before it (1). See `make_model`.
GOING_ON, PLACES = {(1, 2): 0, (1, 3): 1, (2, 2): 0, (2, 3): 1}, 2
#: Matching uses the dimensions that rotary embeddings turn by less than this a token.
ROPE_BASE, STILL = 100_000.0, 0.03
#: Tied embeddings that stand against what the heads write, and logits that begin small all the same.
EMBEDDING_STD, FINAL_NORM = 0.1, 0.25

BATCH_TOKENS = 3000
POOL_BATCHES = 16
#: The loss is taken on each answer's tokens, and on this share of the others.
CONTEXT_SHARE = 0.1
MUON_RATE, ADAM_RATE = 0.02, 0.003
WARM_UP = 50
CHECK_EVERY, LOG_EVERY = 200, 10


@dataclass(frozen=True)
class Stage:
    """What is trained on, by weight; the gate that ends it; how many steps it has at most.

    The learning rates go from the first to the second share of their full values, over `steps`.
    """

    name: str
    mixture: dict[Maker, float]
    gate: str
    least: float
    steps: int
    rates: tuple[float, float]


STAGES = (
    Stage("look-up", {world.look_up: 1.0}, "look-up, 6 pairs", 0.93, 600, (1.0, 1.0)),
    Stage(
        "reading",
        {world.reading: 0.5, world.key_value: 0.3, world.several_facts: 0.12, world.look_up: 0.08},
        "3 passages, same attribute",
        0.93,
        1000,
        (1.0, 0.6),
    ),
    Stage(
        "everything",
        {
            world.reading: 0.46,
            world.several_facts: 0.08,
            world.key_value: 0.08,
            world.many_passages: 0.03,
            world.records: 0.08,
            world.topics: 0.12,
            world.general: 0.15,
        },
        "1 passage",
        1.01,  # it runs to its end
        2000,
        (0.6, 0.02),
    ),
)

#: What is measured on held-out names, values and wordings.
GATES: dict[str, Any] = {
    "look-up, 6 pairs": lambda rng: world.look_up(rng, demo=True, pairs=6),
    "key-value, 6 pairs": lambda rng: world.key_value(rng, demo=True, pairs=6),
    "1 passage": lambda rng: world.reading(rng, demo=True, passages=1),
    "3 passages, different": lambda rng: world.reading(rng, demo=True, passages=3, same=False),
    "3 passages, same attribute": lambda rng: world.reading(rng, demo=True, passages=3, same=True),
    "topics": lambda rng: world.topics(rng, demo=True),
    "general": lambda rng: world.general(rng, demo=True),
}
GATE_ROWS = 120


# The tokenizer


def make_tokenizer() -> Any:
    """Byte-level BPE of at most 2,432 pieces, learned from the world's own documents: any text can be written in it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=specials[2:],
        chat_template=CHAT_TEMPLATE,
        model_max_length=SIZES["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )


def _texts() -> Iterator[str]:
    """What the tokenizer learns from: each name often enough to be one piece."""
    for each in (*world.name_words()[0], *world.name_words()[1], *FIRST_NAMES, *SURNAMES, *MACHINES):
        yield " ".join([each] * 300)
    rng = random.Random(SEED)
    for maker in STAGES[-1].mixture:
        for _ in range(2000):
            for _, text in maker(rng):
                yield text


# The model


def make_model(tokenizer: Any) -> Any:
    """A Qwen2 that begins with the circuit that reading needs, as far as weights alone can say it.

    The heads of layer 0 look one to four tokens back, and write what stands there into one small subspace: each
    token then carries the names just before it. The heads in MATCHING have equal queries and keys on that subspace:
    they look where the same names stand, and bring what they find there. Those in GOING_ON look behind the place
    where the token at hand, or the one before it, stood already: they go on with what is being copied (induction
    heads: Olsson et al. 2022). What stands one and two back has a subspace of its own for them. Without all this a
    model of this size, trained as long as this one, learned to read and not to choose.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(SEED)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        attention_dropout=0.0,
        **SIZES,
    )
    model = Qwen2ForCausalLM(config)
    size = SIZES["hidden_size"]
    width = size // SIZES["num_attention_heads"]
    turns = ROPE_BASE ** (-torch.arange(0, width, 2).float() / width)  # radians a token, as rotary embeddings turn
    still = (turns.repeat(2) < STILL).nonzero()[:, 0]
    read = _orthogonal(width, size)
    write, *places = _orthogonal(size, size).split(width, dim=1)  # all that is near; one back; two back
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, EMBEDDING_STD)
        model.model.norm.weight.fill_(FINAL_NORM)
        attention = model.model.layers[0].self_attn
        for head, back in enumerate(LOOKING_BACK):
            rows = slice(head * width, (head + 1) * width)
            for part in (attention.q_proj, attention.k_proj):
                part.weight[rows] *= 0.3  # the place counts more than what stands there
            attention.k_proj.bias[rows] = BACK_BIAS * torch.cat([torch.ones_like(turns), torch.zeros_like(turns)])
            attention.q_proj.bias[rows] = BACK_BIAS * torch.cat([(back * turns).cos(), -(back * turns).sin()])
            attention.v_proj.weight[rows] = BACK_GAIN * read
            own = places[back - 1] if back <= PLACES else torch.zeros(size, width)
            attention.o_proj.weight[:, rows] = BACK_GAIN * (write + own)
        near = write.T
        seen = (read, *(place.T for place in places[:PLACES]))  # the token at hand, one back, two back
        heads = [(at, near, near) for at in MATCHING]
        heads += [(at, seen[back], seen[back + 1]) for at, back in GOING_ON.items()]
        for (layer, head), asked, found in heads:
            attention, rows = model.model.layers[layer].self_attn, slice(head * width, (head + 1) * width)
            match = torch.zeros(width, width)
            match[still] = MATCH_GAIN * _orthogonal(len(still), width)
            attention.q_proj.weight[rows] = match @ asked
            attention.k_proj.weight[rows] = match @ found
            brought = _orthogonal(width, size)
            attention.v_proj.weight[rows] = BRING_GAIN * brought
            attention.o_proj.weight[:, rows] = BRING_GAIN * brought.T
    return model


def as_llama(model: Any) -> Any:
    """The same arithmetic as a Llama with biases.

    transformers gives every folder of a Qwen2 that model's own way of cutting text, whatever tokenizer lies in it.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    kept = {
        "vocab_size",
        "tie_word_embeddings",
        "rope_parameters",
        "rms_norm_eps",
        "eos_token_id",
        "pad_token_id",
        *SIZES,
    }
    settings = {key: value for key, value in model.config.to_dict().items() if key in kept}
    llama = LlamaForCausalLM(LlamaConfig(**settings, bos_token_id=None, attention_bias=True))
    missing, unexpected = llama.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(not name.endswith("o_proj.bias") for name in missing):
        raise SystemExit(f"weights without a place: {unexpected or missing}")
    with torch.no_grad():
        for layer in llama.model.layers:
            layer.self_attn.o_proj.bias.zero_()
    return llama


def _orthogonal(rows: int, columns: int) -> Any:
    return torch.nn.init.orthogonal_(torch.empty(rows, columns))


# Documents as tokens


@dataclass(frozen=True, slots=True)
class Tokens:
    """A document's tokens, and which of them are an answer's."""

    ids: list[int]
    answers: list[bool]


def as_tokens(tokenizer: Any, document: Document) -> Tokens:
    """What the chat template makes of the document."""
    ids: list[int] = []
    answers: list[bool] = []
    texts = tokenizer([text for _, text in document], add_special_tokens=False)["input_ids"]
    for (role, _), text in zip(document, texts, strict=True):
        own = [*text, tokenizer.eos_token_id]
        ids += [tokenizer.convert_tokens_to_ids(f"<|{role}|>"), *own]
        answers += [False, *[role == "assistant"] * len(own)]
    return Tokens(ids, answers)


def pool(tokenizer: Any, stage: Stage, at: int) -> list[list[Tokens]]:
    """Some batches of documents of a like length each, in random order: the `at`-th pool of its stage."""
    rng = random.Random(f"{SEED} {stage.name} {at}")
    makers, weights = list(stage.mixture), list(stage.mixture.values())
    drawn: list[Tokens] = []
    size = 0
    while size < BATCH_TOKENS * POOL_BATCHES:
        drawn.append(as_tokens(tokenizer, rng.choices(makers, weights)[0](rng)))
        size += len(drawn[-1].ids)
    batches: list[list[Tokens]] = [[]]
    for each in sorted(drawn, key=lambda one: len(one.ids)):
        if batches[-1] and (len(batches[-1]) + 1) * len(each.ids) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(each)
    rng.shuffle(batches)
    return batches


def padded(batch: Sequence[Tokens], pad: int, device: str) -> tuple[Any, Any]:
    """Token ids and which are answers', both (rows, width), padded on the right."""
    width = max(len(one.ids) for one in batch)
    ids = torch.tensor([one.ids + [pad] * (width - len(one.ids)) for one in batch], device=device)
    answers = torch.tensor([one.answers + [False] * (width - len(one.ids)) for one in batch], device=device)
    return ids, answers


def loss_of(model: Any, batch: Sequence[Tokens], pad: int, generator: Any) -> Any:
    """Mean cross entropy of the answers' tokens and of a share of the others."""
    device = str(model.device)
    ids, answers = padded(batch, pad, device)
    drawn = torch.rand(ids.shape, generator=generator).to(device) < CONTEXT_SHARE
    chosen = (answers | (drawn & (ids != pad)))[:, 1:]
    with torch.autocast(device.split(":", maxsplit=1)[0], torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        logits = model.lm_head(hidden[chosen])
    return cross_entropy(logits.float(), ids[:, 1:][chosen])


def accuracy(model: Any, tokenizer: Any, make: Maker, rows: int = GATE_ROWS) -> float:
    """The share of documents whose last answer greedy decoding would give exactly."""
    rng = random.Random(f"{SEED} gate")
    documents = sorted((as_tokens(tokenizer, make(rng)) for _ in range(rows)), key=lambda one: len(one.ids))
    right = 0
    for start in range(0, rows, 50):
        ids, answers = padded(documents[start : start + 50], tokenizer.pad_token_id, str(model.device))
        with torch.inference_mode():
            best = model(input_ids=ids, use_cache=False).logits[:, :-1].argmax(-1)
        right += int(((best == ids[:, 1:]) | ~answers[:, 1:]).all(1).sum())
    return right / rows


# Training


@dataclass
class Place:
    """Where training is: all that is needed to go on, beside weights and optimisers."""

    stage: int = 0
    pool: int = 0
    step_in_stage: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Training:
    """The model on its way through the stages."""

    def __init__(self, work: Path, device: str) -> None:
        self.work = work
        self.tokenizer = make_tokenizer()
        self.model = make_model(self.tokenizer).to(device)
        matrices = [weight for key, weight in self.model.named_parameters() if weight.ndim == 2 and "embed" not in key]
        others = [weight for key, weight in self.model.named_parameters() if weight.ndim != 2 or "embed" in key]
        self.optimisers = [
            torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=0.01),
            torch.optim.AdamW(others, lr=ADAM_RATE, weight_decay=0.0, betas=(0.9, 0.98)),
        ]
        self.rates = (MUON_RATE, ADAM_RATE)
        self.place = Place()
        self.log: list[dict[str, Any]] = []
        self._file = work / "checkpoint.pt"
        if self._file.exists():
            kept = torch.load(self._file, map_location=device, weights_only=True)
            self.model.load_state_dict(kept["model"])
            for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
                optimiser.load_state_dict(state)
            self.place, self.log = Place(**kept["place"]), kept["log"]

    def run(self, most: int | None) -> None:
        """Train to the end of the stages, or to `most` steps in all."""
        while self.place.stage < len(STAGES):
            stage = STAGES[self.place.stage]
            passed = self._pool(stage, most)
            if most is not None and self.place.step >= most:
                return
            if passed or self.place.step_in_stage >= stage.steps:
                self.place.stage += 1
                self.place.pool = self.place.step_in_stage = 0
            self._keep()

    def _pool(self, stage: Stage, most: int | None) -> bool:
        """One pool of batches; returns whether the stage's gate was checked and passed."""
        place, passed = self.place, False
        started = time.perf_counter()
        generator = torch.Generator().manual_seed(place.step)
        losses: list[float] = []
        for batch in pool(self.tokenizer, stage, place.pool):
            if (most is not None and place.step >= most) or place.step_in_stage >= stage.steps:
                break
            first, last = stage.rates
            rate = first + (last - first) * place.step_in_stage / stage.steps
            rate *= min(1.0, (place.step + 1) / WARM_UP)
            loss = loss_of(self.model, batch, self.tokenizer.pad_token_id, generator)
            for optimiser, full in zip(self.optimisers, self.rates, strict=True):
                optimiser.param_groups[0]["lr"] = full * rate
                optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimiser in self.optimisers:
                optimiser.step()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise SystemExit(f"the loss is {losses[-1]} at step {place.step}")
            place.step += 1
            place.step_in_stage += 1
            place.tokens += sum(len(one.ids) for one in batch)
            if place.step % LOG_EVERY == 0:
                self._tell({"loss": round(sum(losses[-LOG_EVERY:]) / len(losses[-LOG_EVERY:]), 4)}, stage)
            if place.step_in_stage % CHECK_EVERY == 0 or place.step_in_stage == stage.steps:
                gates = {name: accuracy(self.model, self.tokenizer, make) for name, make in GATES.items()}
                self._tell({"gates": gates}, stage)
                passed = passed or gates[stage.gate] >= stage.least
        place.pool += 1
        place.seconds += time.perf_counter() - started
        return passed

    def _tell(self, what: dict[str, Any], stage: Stage) -> None:
        entry = {"step": self.place.step, "stage": stage.name, "tokens": self.place.tokens} | what
        self.log.append(entry)
        print(json.dumps(entry | {"seconds": round(self.place.seconds)}), flush=True)

    def _keep(self) -> None:
        """Complete or absent: written beside, then renamed."""
        partial = self._file.with_suffix(".partial")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "place": vars(self.place),
                "log": self.log,
            },
            partial,
        )
        partial.replace(self._file)

    def export(self, to: Path) -> None:
        """The model's folder as transformers reads it, in 16 bits, and its log beside it."""
        from transformers import GenerationConfig

        self.tokenizer.save_pretrained(to)
        model = as_llama(self.model)
        model.generation_config = GenerationConfig(
            eos_token_id=self.tokenizer.eos_token_id, pad_token_id=self.tokenizer.pad_token_id
        )
        model.to("cpu", torch.float16).save_pretrained(to)
        place = self.place
        told = [entry for entry in self.log if "gates" in entry or entry["step"] % 100 == 0 or entry["step"] <= 300]
        about = {"steps": place.step, "tokens": place.tokens, "minutes": round(place.seconds / 60, 1), "log": told}
        (to.parent / "pretraining.json").write_text(json.dumps(about, indent=0) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the checkpoint is kept")
    parser.add_argument("--to", type=Path, help="where the model is put at the end, such as assets/demo/model")
    parser.add_argument("--steps", type=int, help="stop after so many")
    parser.add_argument("--threads", type=int, help="of the CPU; torch's own choice otherwise")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    training = Training(arguments.work, arguments.device)
    training.run(arguments.steps)
    if arguments.to:
        training.export(arguments.to)


if __name__ == "__main__":
    main()
