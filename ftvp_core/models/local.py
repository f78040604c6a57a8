"""A causal language model on this machine: transformers, with LoRA adapters side by side on the one base.

One function, `prompt_ids`, makes a prompt's tokens for answering and for training. Nothing is ever cut: a
prompt that leaves no room for an answer is that row's failure. Tokens are padded on the left, here.
"""

import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ftvp_core.errors import UserError
from ftvp_core.types import Answer, Message, Request, Usage

DEMO = Path(__file__).parents[2] / "assets" / "demo" / "model"
#: What a hub name brings: never a pickle, never code, no other format's folder.
HUB_FILES, NOT_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"], ["*/*"]
HUB_TIMEOUT_S = 10.0
#: Rows generated at once, before memory says otherwise. A GPU needs more of them to be busy.
ROWS_ON_CPU, ROWS_ON_GPU = 8, 64
#: A model asks for this many times as many rows, so that rows of a like length can go together.
ROWS_ASKED = 2
#: For a tokenizer without a chat template: each turn as a paragraph with its role, the answer's turn left open.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def open_model(name: str, adapter: Path | None, loaded: dict[str, object]) -> "Local":
    """The model `name` (see `base_folder`), answering through `adapter` if one is given. Raises UserError.

    `loaded` keeps what is open, so that a base is in memory once for all who share it.
    """
    folder = base_folder(name)
    is_in_4_bits = adapter is not None and _is_of_4_bits(adapter)
    key = f"{folder}{' in 4 bits' if is_in_4_bits else ''}"
    base = loaded.get(key)
    if not isinstance(base, Base):
        base = Base(folder, **(in_4_bits() if is_in_4_bits else {}))
        loaded[key] = base
    return Local(
        base, base.add_adapter(adapter) if adapter else None, f"local#{name}{f'#{adapter}' if adapter else ''}"
    )


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


def _is_of_4_bits(adapter: Path) -> bool:
    """Whether an adapter of ours was trained on a base in 4 bits: on another base it answers worse, or not at all."""
    try:
        about = json.loads((adapter / "ftvp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another tool's adapter
        return False
    return bool(about.get("tune", {}).get("method") == "qlora")


def resolved(name: str, folder: Path) -> str:
    """A model's name in a comparison file of `folder`: a folder's path is relative to the file."""
    path = folder / Path(name).expanduser()
    return str(path.resolve()) if name != "demo" and (_is_path(name) or path.is_dir()) else name


def base_folder(name: str) -> Path:
    """Where a model lies: `demo` is the shipped one, a folder is itself, anything else a hub name.

    Raises UserError when it isn't there, or has no safetensors.
    """
    folder = DEMO if name == "demo" else Path(name).expanduser()
    if not folder.is_dir():
        if _is_path(name):
            raise UserError(f"local/{name}", f"there is no folder {folder}", "name a folder with a transformers model")
        folder = _from_hub(name)
    for pattern, what in (("config.json", "config.json"), ("*.safetensors", "safetensors weights")):
        if not any(folder.glob(pattern)):
            raise UserError(f"local/{name}", f"{folder} has no {what}", "name a folder with a transformers model")
    return folder


def check_folders(name: str, adapter: str | None, folder: Path) -> None:
    """Raises UserError when a model or adapter that should be on this disk isn't. Imports and loads nothing."""
    here = resolved(name, folder)
    if _is_path(here):
        base_folder(here)
    if adapter:
        check_adapter(folder / adapter)


def context_window(name: str, folder: Path) -> int | None:
    """A model's context in tokens, as its config says; None where it isn't on this disk. Imports nothing."""
    here = resolved(name, folder)
    if not _is_path(here):
        return None
    try:
        config = json.loads((base_folder(here) / "config.json").read_text(encoding="utf-8"))
    except (UserError, OSError, ValueError):  # said where the candidate is planned
        return None
    window = config.get("max_position_embeddings")
    return window if isinstance(window, int) else None


def _is_path(name: str) -> bool:
    """A hub's name is `name` or `owner/name`."""
    return name == "demo" or name.startswith((".", "~")) or name.count("/") > 1


def check_adapter(folder: Path) -> None:
    """Raises UserError unless the folder holds a PEFT adapter in safetensors."""
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).is_file():
            raise UserError(f"adapter {folder}", f"has no {file}", "name the folder that a LoRA was saved to")


def _from_hub(name: str) -> Path:
    """A hub model's snapshot, downloaded unless it is here; offline the one that is here."""
    from httpx2 import HTTPError
    from huggingface_hub import model_info, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    def snapshot(*, local_files_only: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                allow_patterns=HUB_FILES,
                ignore_patterns=NOT_HUB_FILES,
                local_files_only=local_files_only,
            )
        )

    where = f"local/{name}"
    try:
        model_info(name, timeout=HUB_TIMEOUT_S)
        return snapshot(local_files_only=False)
    except GatedRepoError:  # before its parent
        said = "is gated on the hub: ask for access there and set HF_TOKEN"
    except (HFValidationError, RepositoryNotFoundError):
        said = "is neither a folder here nor a model on the hub"
    except (HTTPError, OSError) as error:
        try:
            return snapshot(local_files_only=True)
        except (HTTPError, OSError):
            said = f"is no folder here, and the hub can't be reached ({type(error).__name__})"
    raise UserError(where, said, "check the name, or give a folder with a transformers model")


# Prompts


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """A prompt's tokens, up to where the answer begins: the same for answering and for training.

    Control tokens inside the messages are encoded as text: data can't end its turn. Raises BadPrompt.
    """
    return _templated(tokenizer, messages, add_generation_prompt=True)


def answer_ids(tokenizer: Any, messages: Sequence[Message], answer: str, stops: set[int]) -> list[int]:
    """The tokens that should follow `prompt_ids`: the answer as the template writes it, with its end token."""
    prompt = prompt_ids(tokenizer, messages)
    whole = _templated(tokenizer, [*messages, Message("assistant", answer)], add_generation_prompt=False)
    if whole[: len(prompt)] == prompt:
        rest = whole[len(prompt) :]
        ends = next((at for at, token in enumerate(rest) if token in stops), None)
        if ends is not None:
            return rest[: ends + 1]
    else:  # a template that opens an answer otherwise than it shows one, such as with a begun thought
        rest = tokenizer.encode(answer, add_special_tokens=False)
    return [*rest, tokenizer.eos_token_id]


class BadPrompt(ValueError):
    """The model's chat template refuses these messages; the text says why."""


def _templated(tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
    from jinja2 import TemplateError

    own = tokenizer.chat_template is not None
    try:
        ids: list[int] = tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            chat_template=None if own else PLAIN_TEMPLATE,
            add_generation_prompt=add_generation_prompt,
            sanitize_control_tokens=True,
            return_dict=False,
        )
    except TemplateError as error:
        raise BadPrompt(f"the model's chat template refuses this prompt ({error})") from None
    return ids if own else [*_opening(tokenizer), *ids]


def _opening(tokenizer: Any) -> list[int]:
    """The token that the tokenizer itself puts before a text, if it does."""
    return [token for token in tokenizer.encode("")[:1] if token == tokenizer.bos_token_id]


# The base


class Base:
    """A loaded model with its tokenizer, and the adapters that were put on it."""

    def __init__(self, folder: Path, device: str | None = None, **loading: Any) -> None:
        """`device`: cpu or cuda; by default a GPU if there is one. `loading`: more for `from_pretrained`, such as a
        quantization. Raises UserError."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging

        logging.disable_progress_bar()  # of files that are on this disk
        self.folder = folder
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device != "cpu"
        if not self.on_gpu:
            torch.set_num_threads(threads())
        only_safe = {"local_files_only": True, "trust_remote_code": False}
        loading = {"dtype": torch.bfloat16 if self.on_gpu else torch.float32} | loading
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **only_safe)
            self.model: Any = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **only_safe, **loading)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(f"local model {folder}", f"can't be loaded ({_first_line(error)})") from None
        self.model.to(self.device).eval()
        if "quantization_config" in loading:
            _unpacked(self.model)
        self.context: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.stops = _end_tokens(self.model, self.tokenizer)
        self.pad: int = next(
            (token for token in (self.tokenizer.pad_token_id, *sorted(self.stops)) if token is not None), 0
        )
        # A model's file may ask for sampling or penalties: the comparison file alone says how to generate.
        self.model.generation_config = GenerationConfig(eos_token_id=sorted(self.stops) or None, pad_token_id=self.pad)
        self._lock = threading.Lock()
        self._adapters: dict[Path, str] = {}
        self._peft: Any = None

    def add_adapter(self, folder: Path) -> str:
        """Load an adapter beside those that are there; returns its name here. Raises UserError."""
        from peft import PeftConfig, PeftModel

        folder = folder.resolve()
        if folder in self._adapters:
            return self._adapters[folder]
        check_adapter(folder)
        name = f"adapter{len(self._adapters)}"
        try:
            kind = PeftConfig.from_pretrained(str(folder)).peft_type
            if kind != "LORA":
                raise UserError(f"adapter {folder}", f"found one of type {kind}", "expected a LoRA")
            if self._peft is None:  # it changes the model in place; the first adapter is loaded again, to be checked
                with known_warnings():
                    self._peft = PeftModel.from_pretrained(
                        self.model, str(folder), adapter_name=name, torch_device=self.device
                    )
            missing = self._peft.load_adapter(str(folder), adapter_name=name, torch_device=self.device).missing_keys
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise UserError(f"adapter {folder}", f"doesn't fit {self.folder} ({_first_line(error)})") from None
        if missing:  # it would answer as the base does
            raise UserError(f"adapter {folder}", f"doesn't fit {self.folder}: it has no weights for {missing[0]}")
        self.model.eval()
        self._adapters[folder] = name
        return name

    @contextmanager
    def as_arm(self, adapter: str | None) -> Iterator[None]:
        """Inside, the model is the base with this adapter; with None the base alone. One thread at a time."""
        with self._lock:
            if adapter is not None:
                self._peft.set_adapter(adapter, inference_mode=True)
            with self._peft.disable_adapter() if self._peft is not None and adapter is None else nullcontext():
                yield


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


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """What ends an answer: what the model's own settings say, and the tokenizer's end."""
    said = model.generation_config.eos_token_id if model.generation_config else None
    several = said if isinstance(said, list) else [said]
    return {token for token in (*several, tokenizer.eos_token_id) if token is not None}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"


# Answering


@dataclass(frozen=True, slots=True)
class _Row:
    """A request as tokens. `room` is how many may follow: `max_tokens`, or less near the context's end."""

    at: int
    request: Request
    ids: list[int]
    room: int

    @property
    def settings(self) -> tuple[int, float, float, tuple[str, ...]]:
        """Rows are generated together when these are equal."""
        return self.room, self.request.temperature, self.request.top_p, self.request.stop


class Local:
    """A base, or a base with an adapter, as one candidate's model.

    Temperature 0 is greedy; above it a row with a seed draws the same answer again, whatever rows are beside
    it. On a GPU (bf16) the rows beside it can still move a close call.
    """

    works = True

    def __init__(self, base: Base, adapter: str | None, identity: str) -> None:
        self.identity = identity
        self.on_gpu = base.on_gpu
        self._base = base
        self._adapter = adapter
        self._rows = ROWS_ON_GPU if base.on_gpu else ROWS_ON_CPU
        self.batch_size = ROWS_ASKED * self._rows

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer | str]:
        """Answers in order. `usage` is exact, without padding; the end token is counted.

        `machine_s`: the wall time of the rows generated together, shared by their input and output tokens.
        """
        answers: list[Answer | str] = [""] * len(requests)
        rows = []
        for at, request in enumerate(requests):
            row = self._row(at, request)
            if isinstance(row, str):
                answers[at] = row
            else:
                rows.append(row)
        rows.sort(key=lambda row: (row.settings, len(row.ids)))
        with self._base.as_arm(self._adapter):
            for _, alike in groupby(rows, key=lambda row: row.settings):
                waiting = list(alike)
                while waiting:
                    together, waiting = waiting[: self._rows], waiting[self._rows :]
                    for row, answer in zip(together, self._fitting(together), strict=True):
                        answers[row.at] = answer
        return answers

    def prompt_ids(self, request: Request) -> list[int]:
        """The tokens that are sent for a request."""
        return prompt_ids(self._base.tokenizer, request.messages)

    def _row(self, at: int, request: Request) -> _Row | str:
        try:
            ids = self.prompt_ids(request)
        except BadPrompt as error:
            return str(error)
        context = self._base.context
        room = request.max_tokens if context is None else min(request.max_tokens, context - len(ids))
        if room < 1:
            return f"the prompt's {len(ids)} tokens leave no room in the model's context of {context}"
        return _Row(at, request, ids, room)

    def _fitting(self, rows: Sequence[_Row]) -> list[Answer | str]:
        """Generate; what doesn't fit in memory is halved, down to one row, and so is all that follows."""
        try:
            return list(self._generate(rows))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        # After the except clause: until its end the failed try's tensors are held by the traceback.
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()
        if len(rows) == 1:
            return [f"the prompt's {len(rows[0].ids)} tokens don't fit in this machine's memory"]
        half = len(rows) // 2
        self._rows = min(self._rows, max(half, 1))
        return [*self._fitting(rows[:half]), *self._fitting(rows[half:])]

    def _generate(self, rows: Sequence[_Row]) -> Iterator[Answer]:
        """Rows of equal settings, padded on the left, through one `generate` with its cache."""
        import torch

        started = time.perf_counter()
        base, request, room = self._base, rows[0].request, rows[0].room
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[base.pad] * (width - len(row.ids)) + row.ids for row in rows], device=base.device)
        mask = torch.tensor([[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows], device=base.device)
        with torch.inference_mode():
            whole = base.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=room,
                do_sample=False,  # greedy over logits, to which `_draw` has added the chance
                logits_processor=[_draw(rows)] if request.temperature > 0 else [],
                stopping_criteria=[_stopped(base.tokenizer, request.stop, width)] if request.stop else [],
            )
        ended = [self._ended(tokens[width:], request.stop) for tokens in whole.tolist()]
        wall_s = time.perf_counter() - started
        tokens = [len(row.ids) + used for row, (_, used, _) in zip(rows, ended, strict=True)]
        for row, (text, used, reason), share in zip(rows, ended, tokens, strict=True):
            usage = Usage(len(row.ids), 0, used)
            yield Answer(text, usage, machine_s=wall_s * share / sum(tokens), finish_reason=reason)

    def _ended(self, tokens: list[int], stops: Sequence[str]) -> tuple[str, int, str]:
        """One row's text, how many tokens it took, and why it ended; what follows its end is padding."""
        end = next((at for at, token in enumerate(tokens) if token in self._base.stops), None)
        text = self._text(tokens[:end])
        cut = min((text.find(stop) for stop in stops if stop in text), default=None)
        if cut is not None:
            used = next(n for n in range(1, len(tokens) + 1) if any(stop in self._text(tokens[:n]) for stop in stops))
            return text[:cut], used, "stop"
        return (text, len(tokens), "length") if end is None else (text, end + 1, "stop")

    def _text(self, tokens: list[int]) -> str:
        text: str = self._base.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _draw(rows: Sequence[_Row]) -> Callable[[Any, Any], Any]:
    """Makes the greedy choice a draw at the rows' temperature and top_p: Gumbel noise on the logits.

    Each row has its own generator, from its seed and its prompt, so that it draws alike in any batch.
    """
    import torch
    from transformers import TopPLogitsWarper

    request = rows[0].request
    top_p = TopPLogitsWarper(request.top_p) if request.top_p < 1 else None
    generators = [torch.Generator() for _ in rows]
    for row, generator in zip(rows, generators, strict=True):
        seed = row.request.seed
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(hash((seed, *row.ids)) & (2**63 - 1))  # of numbers alone: the same in any process

    def draw(ids: Any, scores: Any) -> Any:
        scores = scores.float() / request.temperature
        if top_p is not None:
            scores = top_p(ids, scores)
        chance = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in generators]
        return scores - torch.stack(chance).log().to(scores.device)

    return draw


def _stopped(tokenizer: Any, stops: Sequence[str], width: int) -> Callable[..., Any]:
    """Ends a row when one of the texts stands at the end of what it has generated."""
    import torch

    # No token is shorter than a byte, so a stop's text, and what the last token adds, are in these.
    within = max(len(stop.encode()) for stop in stops) + 1

    def stopped(ids: Any, scores: Any, **_: Any) -> Any:
        ends = [tokenizer.decode(tokens[-within:]) for tokens in ids[:, width:].tolist()]
        return torch.tensor([any(stop in end for stop in stops) for end in ends], device=ids.device)

    return stopped


def out_of_memory(error: Exception) -> bool:
    """Whether that is what torch's error means, on a GPU or a CPU."""
    import torch

    said = ("can't allocate memory", "not enough memory")  # torch's own words for a CPU's
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in str(error) for words in said)
