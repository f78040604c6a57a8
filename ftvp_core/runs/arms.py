"""What a run is made of: its data, its arms, and what is asked beside the comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ftvp_core import grading
from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.candidates.prompt import Render
from ftvp_core.data.rows import Table
from ftvp_core.pricing.prices import Pricer
from ftvp_core.runs.searches import Search
from ftvp_core.schemas import Schema
from ftvp_core.spec import Candidate, RetrievalSpec, Spec
from ftvp_core.types import Example, ExampleSet, Given, Knowledge


@dataclass(frozen=True, slots=True)
class Sources:
    """The data of a comparison, as read. `recorded` by the path that the file gives, and so are `trained_systems`: the
    system prompts of the rows that its adapters were trained on, where they say so."""

    eval_set: ExampleSet
    train_set: ExampleSet | None
    knowledge: Knowledge | None
    recorded: Mapping[str, Table]
    forgetting_set: ExampleSet | None = None
    trained_systems: Mapping[str, Sequence[str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a side arm answers for: the arm `teacher` is asked about the training rows of the arms `students`."""

    teacher: int
    students: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """A candidate, ready to run. `price` is None where a request's price isn't known, or nothing is sent.

    It answers `examples`, each `repeats` times: the eval set's, unless it `is_side`: asked for something beside the
    comparison, in which it doesn't appear. Side arms stand after all others; a teacher's has `labels`. `adapter_of`: the
    arm that is trained for this one too; `graders`: its own, where its examples aren't the eval set's.
    """

    candidate: Candidate
    examples: Sequence[Example]
    render: Render
    price: Pricer | None
    planned: Given  # what its lookup will give, roughly: for the estimate
    repeats: int
    is_side: bool = False
    adapter_of: int | None = None
    graders: grading.Graders | None = None
    labels: Labels | None = None
    is_batched: bool = False
    concurrency: int | None = None  # of its own: it is asked alone, after all others
    embeds: Search | None = None  # who embeds its passages and questions, if a server does
    reranks: Search | None = None
    schema: Schema | None = None  # what its answers should be valid by

    @property
    def model(self) -> str | None:
        return self.candidate.model

    @property
    def provider(self) -> str | None:
        return self.candidate.provider

    @property
    def is_remote(self) -> bool:
        return self.candidate.model is not None and self.candidate.provider != "local"

    @property
    def calls(self) -> int:
        return len(self.examples) * self.repeats


@dataclass(frozen=True, slots=True)
class Plan:
    spec: Spec
    sources: Sources
    arms: tuple[Arm, ...]
    graders: grading.Graders
    limit_usd: Decimal | None

    def side_name(self, at: int) -> str:
        """What a side arm does, in words."""
        labels = self.arms[at].labels
        level = self.arms[at].concurrency
        if level is not None:
            return f"{self.arms[at].candidate.name}, {level} in flight"
        if labels is None:
            return self.arms[at].candidate.name
        students = [self.arms[student].candidate.name for student in labels.students]
        more = f" and {len(students) - 1} more" if len(students) > 1 else ""
        return f"{self.arms[at].candidate.name} labels for {students[0]}{more}"

    def trained(self, at: int) -> int:
        """The arm whose training serves an arm: its own, or another's."""
        its = self.arms[at].adapter_of
        return at if its is None else its

    def labels_of(self, student: int) -> int | None:
        """The side arm whose answers an arm learns; None where it learns its rows' references."""
        return next((at for at, arm in enumerate(self.arms) if arm.labels and student in arm.labels.students), None)


def planned_given(candidate: Candidate, where: str, spec: Spec, sources: Sources) -> Given:
    """Stands for what will be looked up, at its likely length, before any index is built."""

    def unsearched(texts: Sequence[str], retrieval: RetrievalSpec) -> _Unsearched:
        return _Unsearched(len(texts))

    lookup = open_lookup(
        candidate, where, sources.eval_set, sources.train_set, sources.knowledge, spec.run.seed, unsearched
    )
    return lookup(sources.eval_set.examples[:1])[0]


class _Unsearched:
    """An index in whose place the first texts stand."""

    def __init__(self, n: int) -> None:
        self._n = n

    def query(self, texts: Sequence[str], k: int) -> list[list[int]]:
        return [list(range(min(k, self._n))) for _ in texts]
