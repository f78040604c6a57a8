"""Everything a run needs, checked before the first call: data, prompts, prices, keys, graders."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from ftvp_core import grading
from ftvp_core.candidates.embedders import check_local_model
from ftvp_core.candidates.prompt import check_trained_system, renderer
from ftvp_core.data.checks import labels_of
from ftvp_core.data.checks.leaks import tagged
from ftvp_core.data.examples import sampled, to_examples
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import Table, read_table
from ftvp_core.errors import UserError
from ftvp_core.marker import read_marker
from ftvp_core.models.constrained import runnable
from ftvp_core.models.recorded import read_recorded
from ftvp_core.pricing.prices import pricer
from ftvp_core.runs.arms import Arm, Plan, Sources, planned_given
from ftvp_core.runs.learned_rows import check_training_rows
from ftvp_core.runs.providers import api_key, provider_named, provider_of
from ftvp_core.runs.searches import searches
from ftvp_core.runs.sides import forgetting_arms, label_arms, load_arms
from ftvp_core.spec import DEFAULT, KnowledgeSpec, Spec, TrainSetSpec
from ftvp_core.types import ExampleSet, Knowledge

ReadTable = Callable[[Path, str | None], Table]
ReadKnowledge = Callable[[Path, KnowledgeSpec], Knowledge]


def read_sources(
    spec: Spec,
    folder: Path,
    read_table: ReadTable = read_table,
    read_knowledge: ReadKnowledge = read_knowledge,
) -> Sources:
    """Read the data that a comparison names, and see that its local models are there. Raises UserError.

    The command line reads a user's own files here; a server has its uploads read in a child process.
    """

    def whole(part: TrainSetSpec) -> ExampleSet:
        return to_examples(read_table(folder / part.path, part.encoding), part)

    def asked(part: TrainSetSpec | None) -> ExampleSet | None:
        return sampled(whole(part), part.limit, part.seed) if part else None

    eval_set, train_set = whole(spec.eval_set), asked(spec.train_set)
    knowledge = read_knowledge(folder / spec.knowledge.path, spec.knowledge) if spec.knowledge else None
    recorded, trained_systems = {}, {}
    for candidate in spec.candidates:
        if candidate.recorded:
            recorded[candidate.recorded] = table = read_table(folder / candidate.recorded, None)
            read_recorded(table, eval_set)
        if candidate.provider == "local":
            from ftvp_core.models.local import check_folders

            check_folders(candidate.model_name, candidate.adapter, folder)
        if candidate.adapter:
            trained = read_marker(folder / candidate.adapter).get("asked", {})
            trained_systems[candidate.adapter] = trained.get("systems", ())
        if candidate.retrieval:
            for model in {candidate.retrieval.embedder, candidate.retrieval.rerank or DEFAULT}:
                check_local_model(model, folder)
    forgetting_set = asked(spec.forgetting_set)
    eval_set = sampled(eval_set, spec.eval_set.limit, spec.eval_set.seed)
    evaluated = tagged(eval_set, train_set) if train_set else eval_set
    return Sources(evaluated, train_set, knowledge, recorded, forgetting_set, trained_systems)


def make_plan(spec: Spec, sources: Sources, limit_usd: Decimal | None = None) -> Plan:
    """Check what can be checked without a call. `limit_usd` replaces the file's. Raises UserError."""
    limit_usd = limit_usd if limit_usd is not None else spec.run.max_cost_usd
    arms = []
    for candidate in spec.arms():
        where = f"candidate {candidate.name}"
        check_training_rows(candidate, where, sources)
        if trained := sources.trained_systems.get(candidate.adapter or ""):
            check_trained_system(candidate, where, trained, sources.eval_set)
        if candidate.provider and candidate.provider != "local":
            api_key(provider_of(candidate, spec), where)
            if spec.is_batched(candidate) and candidate.sampling.stream:
                raise UserError(where, "found sampling.stream; a batch can't stream", "leave out one of the two")
        render = renderer(candidate, where, sources.eval_set)
        planned = planned_given(candidate, where, spec, sources)
        render(sources.eval_set.examples[0], planned)
        embeds, reranks = searches(candidate.retrieval, spec)
        for search in (embeds, reranks):
            if search:
                api_key(provider_named(search.provider, spec), where)
        asked = candidate.output_schema
        schema = None if asked is None else runnable(asked, f"{where}.output_schema", candidate.provider)
        arms.append(
            Arm(
                candidate,
                sources.eval_set.examples,
                render,
                pricer(candidate, spec),
                planned,
                spec.run.repeats,
                is_batched=spec.is_batched(candidate),
                embeds=embeds,
                reranks=reranks,
                schema=schema,
            )
        )
    sides = (*forgetting_arms(arms, spec, sources), *load_arms(spec, arms), *label_arms(arms, sources))
    arms += sides
    _check_limit(arms, limit_usd)
    graders = grading.build(spec.graders, labels_of(sources.eval_set) or ())
    return Plan(spec, sources, tuple(arms), graders, limit_usd)


def is_priced(spec: Spec) -> bool:
    """Whether a server is asked for something whose price is known."""
    return any(
        pricer(one, spec) or any(search and search.price for search in searches(one.retrieval, spec))
        for one in spec.candidates
    )


def _check_limit(arms: list[Arm], limit_usd: Decimal | None) -> None:
    """A limit is given exactly when prices are known. Local work is priced for comparison, not limited."""
    for arm in arms:
        where = f"candidate {arm.candidate.name}"
        sent = [(arm.candidate.model, arm.price)] if arm.is_remote else []
        sent += [(search.model, search.price) for search in (arm.embeds, arm.reranks) if search]
        for model, price in sent:
            if price is not None and limit_usd is None:
                raise UserError(
                    where, f"{model} is priced and there is no cost limit", "set run.max_cost_usd or --max-cost"
                )
            if price is None and limit_usd is not None:
                raise UserError(
                    where,
                    f"there is a cost limit and {model} has no price",
                    f"add prices.{model}: {{input: …, output: …}}",
                )
