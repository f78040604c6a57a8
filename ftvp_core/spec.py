"""The comparison file (keys fixed by the contract), validated. Errors are one line with the key's path."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ftvp_core.errors import UserError
from ftvp_core.types import MOST_USD, Method

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: Fewer training rows than this are all trained on, unless `tune.validation` says otherwise.
FEWEST_ROWS_TO_VALIDATE = 100

Price = Annotated[Decimal, Field(ge=0, le=MOST_USD, allow_inf_nan=False)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, protected_namespaces=())


class TrainSetSpec(Part):
    path: str
    input: str | None = None
    reference: str | None = None
    id: str | None = None
    group: str | None = None
    encoding: str | None = None
    format: str | None = None
    limit: int | None = Field(None, ge=1)
    seed: int = 0


class EvalSetSpec(TrainSetSpec):
    gold: str | None = None


class KnowledgeSpec(Part):
    path: str
    chunk_tokens: int = Field(256, ge=16)
    overlap: int = Field(32, ge=0)


class ProviderSpec(Part):
    base_url: str = Field(pattern=r"^https?://")
    api_key_env: str | None = None
    batch: bool = False


#: What `openai` is where a file doesn't say.
OPENAI = ProviderSpec(base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY")


class TokenPrice(Part):
    """USD per million tokens. `cached_input` is the input's price where it isn't given."""

    input: Price
    cached_input: Price | None = None
    output: Price


class Prices(BaseModel):
    """The user's own prices: `provider/model` keys, and the hours of the machines."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, TokenPrice]
    machine_hour: Price | None = None
    gpu_hour: Price | None = None

    def of(self, model: str) -> TokenPrice | None:
        return self.__pydantic_extra__.get(model)


class PromptSpec(Part):
    system: str | None = None
    user: str = "{input}"


class Sampling(Part):
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(256, ge=1)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    stream: bool = False

    @model_validator(mode="before")
    @classmethod
    def one_stop_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("stop"), str):
            return {**value, "stop": [value["stop"]]}
        return value


class Shots(Part):
    k: int = Field(ge=0)
    select: Literal["random", "nearest"] = "random"


#: The offline embedder's name: its model is in the wheel.
DEFAULT = "default"


def is_remote(name: str) -> bool:
    """Whether an embedder or a re-ranker is a server's: `provider/model`."""
    return name != DEFAULT and not name.startswith("local/")


class RetrievalSpec(Part):
    top_k: int = Field(4, ge=1)
    mode: Literal["dense", "lexical", "hybrid"] = "dense"
    embedder: str = Field(DEFAULT, pattern=r"^default$|^[^/]+/.+$")
    rerank: str | None = Field(None, pattern=r"^[^/]+/.+$")
    max_tokens: int | None = Field(None, ge=1)
    oracle: bool = False
    filter: dict[str, str] | None = Field(None, min_length=1)  # source, or a table's column: a pattern such as guides/*


class TuneSpec(Part):
    """How a model is tuned. `learning_rate` and `validation` have a default that depends on the rest; see `rate` and
    `validation_share`."""

    method: Literal["lora", "qlora", "full"] = "lora"
    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    rslora: bool = False
    dora: bool = False
    learning_rate: float | None = Field(None, gt=0)
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.03, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    batch_size: int = Field(4, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    packing: bool = False
    max_length: int = Field(2048, ge=8)
    epochs: float = Field(3, gt=0)
    max_steps: int | None = Field(None, ge=1)
    save_steps: int = Field(100, ge=1)
    examples: int | None = Field(None, ge=1)
    validation: float | None = Field(None, ge=0, le=0.5)  # share of the rows
    patience: int = Field(2, ge=1)  # evaluations without a better one, of two an epoch
    seed: int = 0
    device: str = "auto"
    force: bool = False
    keep_leaked: bool = False
    teacher: str | None = None  # another candidate: its answers are learned, not the references
    keep: Literal["graders", "agreement", "all"] = "graders"  # which of them
    answers: int = Field(3, ge=2)  # how many of a row have to agree

    @model_validator(mode="after")
    def filters_have_a_teacher(self) -> Self:
        given = [key for key in ("keep", "answers") if getattr(self, key) != type(self).model_fields[key].default]
        if given and self.teacher is None:
            raise ValueError(
                f"found {given[0]}, which chooses among a teacher's answers; name a teacher, or leave it out"
            )
        if "answers" in given and self.keep != "agreement":
            raise ValueError(f"found answers: {self.answers}, which keep: agreement compares; set it, or leave it out")
        return self

    @property
    def rate(self) -> float:
        """The learning rate. An adapter's best one is about ten times full tuning's ("LoRA Without Regret",
        Thinking Machines 2025); 2e-4 is QLoRA's (Dettmers et al. 2023)."""
        return self.learning_rate or (2e-5 if self.method == "full" else 2e-4)

    def validation_share(self, rows: int) -> float:
        """The share held out for early stopping: by default a tenth, and nothing of a small set, whose rows are worth
        more as training rows than as a validation set of a few."""
        return self.validation if self.validation is not None else 0.1 if rows >= FEWEST_ROWS_TO_VALIDATE else 0.0

    @property
    def answers_a_row(self) -> int:
        """How often the teacher is asked about each training row."""
        return self.answers if self.keep == "agreement" else 1


class TrainRows(Part):
    """What a floor learns from: all rows, or `rows` of them that aren't in the eval set, as a tune of so many has."""

    rows: int | None = Field(None, ge=1)
    seed: int = 0


class Candidate(Part):
    """Who answers, and how it is asked. Exactly one of `model`, `recorded` and `floor` is given."""

    name: Name
    model: str | None = Field(None, pattern=r"^[^/]+/.+$")
    recorded: str | None = None
    floor: Literal["tfidf-svm", "nearest"] | None = None
    prompt: PromptSpec = PromptSpec()
    shots: Shots | None = None
    retrieval: RetrievalSpec | None = None
    output_schema: dict[str, Any] | None = None
    sampling: Sampling = Sampling()
    adapter: str | None = None
    tune: TuneSpec | None = None
    train: TrainRows = TrainRows()

    @model_validator(mode="after")
    def one_source(self) -> Self:
        given = [key for key in ("model", "recorded", "floor") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"found {found}; give exactly one of model, recorded and floor")
        if (self.tune or self.adapter) and self.provider != "local":
            raise ValueError(f"tune and adapter need a local/… model; found {self.model}")
        if self.tune and self.adapter:
            raise ValueError("found tune and adapter; give one of them")
        if self.train != TrainRows() and not self.floor:
            raise ValueError("train chooses a floor's rows; a tuned candidate has tune.examples")
        return self

    @property
    def is_tuned_here(self) -> bool:
        """Whether its own base can be asked too: it is on this machine."""
        return self.tune is not None or self.adapter is not None

    def base(self) -> "Candidate":
        """The same candidate without its tuning: what it was before."""
        return self.model_copy(update={"tune": None, "adapter": None})

    def asks_as(self, other: "Candidate") -> bool:
        """Whether the two differ in their names alone."""
        return self.model_copy(update={"name": other.name}) == other

    @property
    def provider(self) -> str | None:
        """The part of `model` before its first slash."""
        return self.model.partition("/")[0] if self.model else None

    @property
    def model_name(self) -> str:
        """The part of `model` after its first slash."""
        return self.model.partition("/")[2] if self.model else ""

    def servers(self) -> Iterator[tuple[str, str]]:
        """The keys that name a server's model, each with its provider."""
        retrieval = self.retrieval
        named = {"model": self.model}
        if retrieval:
            named |= {"retrieval.embedder": retrieval.embedder, "retrieval.rerank": retrieval.rerank}
        for key, value in named.items():
            if value and is_remote(value):
                yield key, value.partition("/")[0]

    @property
    def method(self) -> Method:
        if self.floor:
            return "floor"
        if self.recorded:
            return "recorded"
        if self.tune or self.adapter or self.model_name.startswith("ft:"):
            return "fine-tuned+rag" if self.retrieval else "fine-tuned"
        if self.retrieval:
            return "rag"
        return "few-shot" if self.shots and self.shots.k else "prompt"


class Sweep(Part):
    """One candidate, repeated with one of its numbers changed. `over` is the path to that number.

    With `seeds` each point is made once with each of them as the `seed` beside that number: a curve's spread.
    """

    candidate: str
    over: str
    values: tuple[int | float, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = ()

    def points(self) -> tuple[tuple[float, int | None], ...]:
        """Each value with each seed, in their order; the seed is None where none is given."""
        return tuple((value, seed) for value in self.values for seed in self.seeds or (None,))


class SideArm(NamedTuple):
    """Asked on the forgetting set: a tuned candidate, by its name in the file, or (`tuned` None) a base."""

    candidate: Candidate
    tuned: str | None


class LoadSpec(Part):
    """Servers' candidates are asked again, `examples` times at each of these concurrencies, one after another."""

    concurrency: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field((1, 4, 16, 64), min_length=1)
    examples: int = Field(64, ge=1, le=100_000)

    @model_validator(mode="after")
    def enough_calls(self) -> Self:
        if self.examples < max(self.concurrency):
            raise ValueError(f"found {self.examples} examples; expected as many as the largest concurrency at least")
        return self


class RunSpec(Part):
    concurrency: int = Field(32, ge=1, le=4096)
    max_cost_usd: Price | None = None
    repeats: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)  # what scikit-learn takes
    timeout_s: float = Field(60, gt=0)
    cache: bool = True
    probe: int = Field(20, ge=1, le=1000)  # single calls that a local candidate's latency is measured by
    load: LoadSpec | None = None


class DecideSpec(Part):
    requests_per_month: int = Field(100_000, ge=1)
    margin: float = Field(0.02, ge=0, le=1)
    target: float = Field(0.80, ge=0, le=1)


class Spec(Part):
    name: Name = "comparison"
    eval_set: EvalSetSpec
    train_set: TrainSetSpec | None = None
    forgetting_set: EvalSetSpec | None = None
    knowledge: KnowledgeSpec | None = None
    providers: dict[str, ProviderSpec] = {}
    prices: Prices = Prices()
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    graders: tuple[str | dict[str, Any], ...] = Field(("exact_match",), min_length=1)
    sweeps: tuple[Sweep, ...] = ()
    run: RunSpec = RunSpec()
    decide: DecideSpec = DecideSpec()

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        names = [candidate.name for candidate in self.candidates]
        for at, candidate in enumerate(self.candidates):
            where = f"candidates[{at}]"
            if candidate.name in names[:at]:
                raise ValueError(f"{where}.name: {candidate.name!r} is taken; give each candidate its own name")
            if (candidate.floor or candidate.shots or candidate.tune) and not self.train_set:
                key = "floor" if candidate.floor else "shots" if candidate.shots else "tune"
                raise ValueError(f"{where}.{key}: it needs training rows; add a train_set")
            if candidate.retrieval and not self.knowledge:
                raise ValueError(f"{where}.retrieval: it needs passages; add knowledge")
            for key, provider in candidate.servers():
                if provider not in {"openai", *self.providers}:
                    raise ValueError(
                        f"{where}.{key}: found provider {provider!r}; add it under providers"
                        f" (there: {', '.join(self.providers) or 'none'})"
                    )
            if candidate.tune and candidate.tune.teacher:
                self._check_teacher(candidate, f"{where}.tune.teacher", names)
        for at, sweep in enumerate(self.sweeps):
            if sweep.candidate not in names:
                raise ValueError(
                    f"sweeps[{at}].candidate: found {sweep.candidate!r}; expected one of {', '.join(names)}"
                )
            if len(set(sweep.seeds)) < len(sweep.seeds):
                raise ValueError(f"sweeps[{at}].seeds: a seed stands twice; it would give the same point")
            for value, seed in sweep.points():
                beside = f" with a seed of {seed} beside it" if seed is not None else ""
                try:
                    swept(self.by_name(sweep.candidate), sweep.over, value, seed)
                except (KeyError, ValidationError) as error:
                    raise ValueError(
                        f"sweeps[{at}].over: {sweep.over} = {value}{beside} is no setting of {sweep.candidate}"
                    ) from error
        return self

    def _check_teacher(self, student: Candidate, where: str, names: list[str]) -> None:
        """Raises ValueError for a teacher that can't answer a training row, or that learns from the student itself."""
        assert student.tune is not None
        name = student.tune.teacher or ""
        if name not in names:
            raise ValueError(f"{where}: found {name!r}; expected one of {', '.join(names)}")
        teacher = self.by_name(name)
        if teacher.model is None:
            why = "has no answers but the eval set's" if teacher.recorded else "has learned the training rows by heart"
            raise ValueError(f"{where}: {name} {why}; name a candidate with a model")
        sampling = teacher.sampling
        if student.tune.keep == "agreement" and (sampling.temperature == 0 or sampling.seed is not None):
            raise ValueError(
                f"{where}: {name} gives the same answer each time, so agreement says nothing;"
                " give it sampling.temperature above 0 and no sampling.seed, or choose keep: graders or all"
            )
        taught, line = student, [student.name]
        while taught.tune and taught.tune.teacher in names:
            line.append(taught.tune.teacher)
            if taught.tune.teacher in line[:-1]:
                raise ValueError(f"{where}: found a circle ({' learns from '.join(line)}); break it")
            taught = self.by_name(taught.tune.teacher)

    def by_name(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def load_levels(self) -> tuple[tuple[Candidate, int], ...]:
        """The servers' candidates at each concurrency of `run.load`, level by level. They follow `arms()`."""
        if self.run.load is None:
            return ()
        served = [one for one in self.candidates if one.model and one.provider != "local" and not self.is_batched(one)]
        return tuple((one, level) for level in self.run.load.concurrency for one in served)

    def is_batched(self, candidate: Candidate) -> bool:
        """Whether its provider answers it in batches."""
        provider = self.providers.get(candidate.provider or "")
        return provider is not None and provider.batch and candidate.provider != "local"

    def arms(self) -> tuple[Candidate, ...]:
        """All that is run: the candidates in the file's order, then each sweep's points."""
        points = (
            swept(self.by_name(sweep.candidate), sweep.over, value, seed)
            for sweep in self.sweeps
            for value, seed in sweep.points()
        )
        return (*self.candidates, *points)

    def base_of(self, candidate: Candidate) -> Candidate | None:
        """The candidate that asks the same of the untuned model; None where the file has none."""
        base = candidate.base()
        return next((one for one in self.candidates if one.asks_as(base)), None)

    def side_arms(self) -> tuple[SideArm, ...]:
        """What is asked on the forgetting set, after all other arms: each tuned candidate, and each base once."""
        if self.forgetting_set is None:
            return ()
        tuned = [one for one in self.candidates if one.is_tuned_here]
        bases: list[Candidate] = []
        for one in tuned:
            if not any(base.asks_as(one.base()) for base in bases):
                bases.append(one.base())
        return (
            *(SideArm(one.model_copy(update={"name": f"{one.name} [forgetting]"}), one.name) for one in tuned),
            *(SideArm(one.model_copy(update={"name": f"{one.name} [forgetting, before]"}), None) for one in bases),
        )


def swept(candidate: Candidate, over: str, value: float, seed: int | None = None) -> Candidate:
    """The candidate with the number at the dotted path `over` replaced, and the `seed` beside it if one is given.

    Raises KeyError, ValidationError.
    """
    keys = candidate.model_dump()
    *path, last = over.split(".")
    part: Any = keys
    for key in path:
        if not isinstance(part, dict) or part.get(key) is None:
            raise KeyError(over)
        part = part[key]
    if not isinstance(part, dict) or last not in part or over == "name":
        raise KeyError(over)
    part[last] = value
    if seed is not None:
        if "seed" not in part:
            raise KeyError(over)
        part["seed"] = seed
    beside = f", seed={seed}" if seed is not None else ""
    return Candidate(**{**keys, "name": f"{candidate.name} [{over}={value:g}{beside}]"})


def parse(text: str, where: str) -> Spec:
    """Read a comparison file's text. Raises UserError with `where`, the key's path and what to do."""
    try:
        loaded = _loaded(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}{at}", f"not YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError) as error:  # a 13th month, a number of 5,000 digits, 5,000 brackets
        raise UserError(where, f"not YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise UserError(where, f"found {_kind(loaded)}; expected keys such as eval_set and candidates")
    try:
        return Spec.model_validate(loaded)
    except ValidationError as error:
        raise UserError(where, _one_line(error.errors(include_url=False), loaded)) from None


def load(path: Path) -> Spec:
    """Read a comparison file. Raises UserError."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise UserError(str(path), f"not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    except OSError as error:
        raise UserError(str(path), f"can't be read ({error.strerror})", "check the path") from None


def dump(spec: Spec) -> str:
    """The file's text again, defaults left out, in the contract's order; `parse` gives the same Spec."""
    text: str = yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), allow_unicode=True, sort_keys=False)
    return text


def _loaded(text: str) -> Any:
    """YAML. JSON is read as JSON: YAML's reader stops at its tabs and splits characters that it escapes in two."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError:
            pass
    return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return keys


class _Loader(yaml.SafeLoader):
    """YAML whose repeated keys are an error: the last one silently won otherwise."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below: no key of ours is a list
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _one_line(errors: Iterable[Mapping[str, Any]], loaded: Any) -> str:
    first, *more = errors
    path = _path(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        allowed = _keys_beside(first["loc"])
        near = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        message = "unknown key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(allowed)}")
    elif first["type"] == "missing":
        message = "missing; add it"
    elif first["type"] != "value_error":
        message = f"found {_short(first['input'])}; {message[:1].lower()}{message[1:]}"
    others = f" (and {len(more)} more)" if more else ""
    return f"{path}: {message}{others}" if path else f"{message}{others}"


def _path(location: Iterable[str | int]) -> str:
    out = ""
    for part in location:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """The known keys at an unknown key's place."""
    schema: Any = Spec.model_json_schema()
    part: Any = schema
    for step in location[:-1]:
        part = (
            part.get("items", {})
            if isinstance(step, int)
            else part.get("properties", {}).get(step, part.get("additionalProperties") or {})
        )
        for choice in (part, *part.get("anyOf", ())):
            if "$ref" in choice:
                part = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]]
    return list(part.get("properties", {}))


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) or value is None else _kind(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _kind(value: Any) -> str:
    return {dict: "keys", list: "a list", str: "text", type(None): "nothing"}.get(type(value), type(value).__name__)
