"""The file's data: eval set, training set, knowledge."""

from pydantic import Field

from ftvp_core.spec.parts import Part


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
