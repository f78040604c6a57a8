"""The comparison file (keys fixed by the contract), validated. Errors are one line with the key's path."""

from ftvp_core.spec.candidate import (
    DEFAULT,
    Candidate,
    PromptSpec,
    RetrievalSpec,
    Sampling,
    Shots,
    TrainRows,
    is_remote,
)
from ftvp_core.spec.comparison import DecideSpec, LoadSpec, RunSpec, SideArm, Spec
from ftvp_core.spec.providers import OPENAI, Prices, ProviderSpec, TokenPrice
from ftvp_core.spec.reading import dump, load, parse
from ftvp_core.spec.sources import EvalSetSpec, KnowledgeSpec, TrainSetSpec
from ftvp_core.spec.sweep import Sweep, swept
from ftvp_core.spec.tune import FEWEST_ROWS_TO_VALIDATE, TuneSpec

__all__ = [
    "DEFAULT",
    "FEWEST_ROWS_TO_VALIDATE",
    "OPENAI",
    "Candidate",
    "DecideSpec",
    "EvalSetSpec",
    "KnowledgeSpec",
    "LoadSpec",
    "Prices",
    "PromptSpec",
    "ProviderSpec",
    "RetrievalSpec",
    "RunSpec",
    "Sampling",
    "Shots",
    "SideArm",
    "Spec",
    "Sweep",
    "TokenPrice",
    "TrainRows",
    "TrainSetSpec",
    "TuneSpec",
    "dump",
    "is_remote",
    "load",
    "parse",
    "swept",
]
