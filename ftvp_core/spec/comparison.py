"""The whole file, whose parts have to fit together, and the candidates that follow from it."""

from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from ftvp_core.spec.candidate import Candidate
from ftvp_core.spec.parts import Name, Part, Price
from ftvp_core.spec.providers import Prices, ProviderSpec
from ftvp_core.spec.sources import EvalSetSpec, KnowledgeSpec, TrainSetSpec
from ftvp_core.spec.sweep import Sweep, swept


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
    providers: dict[str, ProviderSpec] = Field({})
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
