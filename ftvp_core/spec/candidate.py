"""A candidate: who answers, and all that decides what it is asked."""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ftvp_core.spec.parts import Name, Part
from ftvp_core.spec.tune import TuneSpec
from ftvp_core.types import Method


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
