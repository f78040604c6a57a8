"""Everything a run needs, checked before the first call: data, prompts, prices, keys, graders."""

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from ftvp_core import grading
from ftvp_core.candidates.embedders import check_embedder
from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.candidates.prompt import Render, as_json, check_same_system, renderer
from ftvp_core.data.checks import labels_of, without_leaks
from ftvp_core.data.checks.leaks import tagged
from ftvp_core.data.examples import from_json, sampled, to_examples, to_json
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import Table, read_table
from ftvp_core.errors import UserError
from ftvp_core.models import RemoteModel
from ftvp_core.models.local import check_folders
from ftvp_core.models.recorded import read_recorded
from ftvp_core.pricing.prices import Pricer, pricer, reserve
from ftvp_core.spec import Candidate, KnowledgeSpec, ProviderSpec, RetrievalSpec, Spec, TuneSpec, dump, parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.tokens import counter
from ftvp_core.types import Example, ExampleSet, Given, Knowledge, Passage, Request

ReadTable = Callable[[Path, str | None], Table]
ReadKnowledge = Callable[[Path, KnowledgeSpec], Knowledge]

#: Fewer rows than this are refused for training (unless forced): they are learned by heart. Fewer than the second
#: are warned of.
FEWEST_TUNING_ROWS, FEW_TUNING_ROWS = 10, 50


@dataclass(frozen=True, slots=True)
class Sources:
    """The data of a comparison, as read. `recorded` by the path that the file gives."""

    eval_set: ExampleSet
    train_set: ExampleSet | None
    knowledge: Knowledge | None
    recorded: Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Arm:
    """A candidate, ready to run. `price` is None where a request's price isn't known, or nothing is sent.

    It answers `examples`: the eval set's, unless it `is_side`: asked for something beside the comparison, in which it
    doesn't appear. Side arms stand after all others.
    """

    candidate: Candidate
    examples: tuple[Example, ...]
    render: Render
    price: Pricer | None
    planned: Given  # what its lookup will give, roughly: for the estimate
    is_side: bool = False

    @property
    def is_remote(self) -> bool:
        return self.candidate.model is not None and self.candidate.provider != "local"


@dataclass(frozen=True, slots=True)
class Plan:
    spec: Spec
    sources: Sources
    arms: tuple[Arm, ...]
    graders: grading.Graders
    limit_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may take at the most. `counted_by` says how the tokens were counted."""

    calls: int
    input_tokens: int
    counted_by: str
    most_usd: Decimal | None
    concurrency: int

    @property
    def seconds(self) -> float:
        """How long the calls take if each takes one second: no provider tells beforehand."""
        return self.calls / self.concurrency


def read_sources(
    spec: Spec,
    folder: Path,
    read_table: ReadTable = read_table,
    read_knowledge: ReadKnowledge = read_knowledge,
) -> Sources:
    """Read the data that a comparison names, and see that its local models are there. Raises UserError.

    The command line reads a user's own files here; a server has its uploads read in a child process.
    """
    whole = to_examples(read_table(folder / spec.eval_set.path, spec.eval_set.encoding), spec.eval_set)
    train_set = None
    if spec.train_set:
        train = spec.train_set
        train_set = sampled(
            to_examples(read_table(folder / train.path, train.encoding), train), train.limit, train.seed
        )
    knowledge = None
    if spec.knowledge:
        knowledge = read_knowledge(folder / spec.knowledge.path, spec.knowledge)
    recorded = {}
    for candidate in spec.candidates:
        if candidate.recorded:
            recorded[candidate.recorded] = table = read_table(folder / candidate.recorded, None)
            read_recorded(table, whole)
        if candidate.provider == "local":
            check_folders(candidate.model_name, candidate.adapter, folder)
        if candidate.retrieval:
            check_embedder(candidate.retrieval.embedder, f"candidate {candidate.name}", folder)
    eval_set = sampled(whole, spec.eval_set.limit, spec.eval_set.seed)
    return Sources(tagged(eval_set, train_set) if train_set else eval_set, train_set, knowledge, recorded)


def make_plan(spec: Spec, sources: Sources, limit_usd: Decimal | None = None) -> Plan:
    """Check what can be checked without a call. `limit_usd` replaces the file's. Raises UserError."""
    limit_usd = limit_usd if limit_usd is not None else spec.run.max_cost_usd
    arms = []
    for candidate in spec.arms():
        where = f"candidate {candidate.name}"
        _check_supported(candidate, where)
        _check_training_rows(candidate, where, sources)
        if candidate.provider and candidate.provider != "local":
            provider = _provider(candidate, spec)
            api_key(provider, where)
            if provider.batch:
                raise UserError(where, "providers: batch isn't built yet in this version", "leave it out")
        render = renderer(candidate, where, sources.eval_set)
        planned = _planned_given(candidate, where, spec, sources)
        render(sources.eval_set.examples[0], planned)
        arms.append(Arm(candidate, sources.eval_set.examples, render, pricer(candidate, spec), planned))
    _check_limit(arms, limit_usd)
    graders = grading.build(spec.graders, labels_of(sources.eval_set) or ())
    return Plan(spec, sources, tuple(arms), graders, limit_usd)


def estimate(plan: Plan) -> Estimate:
    """Calls, input tokens and the most that they can cost. Retries, which are billed rarely, aren't in it."""
    calls = tokens = 0
    most: Decimal | None = Decimal(0)
    repeats = plan.spec.run.repeats
    methods: set[str] = set()
    for arm in plan.arms:
        if not arm.is_remote:
            continue
        counted = counter(arm.candidate.model_name)
        methods.add(counted.method)
        for example in arm.examples:
            request = arm.render(example, arm.planned)
            prompt = as_json(request.messages)
            calls += repeats
            tokens += repeats * counted.count(prompt)
            if arm.price is None:
                most = None
            elif most is not None:
                most += repeats * reserve(arm.price, prompt, request.max_tokens)
    return Estimate(calls, tokens, ", ".join(sorted(methods)), most, plan.spec.run.concurrency)


def new_run(store: Store, plan: Plan, folder: Path, versions: Mapping[str, str], request_key: str | None = None) -> str:
    """Store the plan's data and a queued run; with a `request_key`, once, for a worker to take."""
    recorded = {
        name: store.keep("recorded", name, len(table.rows), json.dumps(asdict(table)))
        for name, table in plan.sources.recorded.items()
    }
    train_set = plan.sources.train_set
    return store.create_run(
        name=plan.spec.name,
        spec=dump(plan.spec),
        folder=str(folder),
        eval_set=_keep_examples(store, plan.sources.eval_set),
        train_set=_keep_examples(store, train_set) if train_set else None,
        knowledge=_keep_knowledge(store, plan.sources.knowledge) if plan.sources.knowledge else None,
        recorded=recorded,
        versions=versions,
        limit_usd=plan.limit_usd,
        request_key=request_key,
    )


def stored_plan(store: Store, run: RunRow) -> Plan:
    """The plan of a stored run, from the store alone."""
    train_set = from_json(store.body(run.train_set)) if run.train_set else None
    knowledge = stored_knowledge(store, run.knowledge) if run.knowledge else None
    recorded = {name: _table(store.body(key)) for name, key in run.recorded.items()}
    sources = Sources(from_json(store.body(run.eval_set)), train_set, knowledge, recorded)
    return make_plan(parse(run.spec, f"run {run.id}"), sources, run.limit_usd)


def stored_knowledge(store: Store, key: str) -> Knowledge:
    keys = json.loads(store.body(key))
    return Knowledge(keys["name"], keys["sha256"], tuple(Passage(**passage) for passage in keys["passages"]))


def check_unchanged(run: RunRow, spec: Spec, sources: Sources, store: Store) -> None:
    """Raises UserError when the file, or data that it names, isn't what the run began with."""
    stored = parse(run.spec, f"run {run.id}")
    new = "start a new run for the changed file, or resume without a file"
    if stored != spec:
        before, after = stored.model_dump(), spec.model_dump()
        keys = ", ".join(key for key in before if before[key] != after[key])
        raise UserError(f"run {run.id}", f"the file has changed since it started ({keys})", new)
    for kind, now, key in (
        ("eval_set", sources.eval_set, run.eval_set),
        ("train_set", sources.train_set, run.train_set),
    ):
        if now is not None and key is not None and from_json(store.body(key)).sha256 != now.sha256:
            raise UserError(f"run {run.id}", f"the data of {kind} has changed since it started", new)
    if sources.knowledge and run.knowledge and _keep_knowledge(store, sources.knowledge) != run.knowledge:
        raise UserError(f"run {run.id}", "the knowledge has changed since it started", new)
    for name, table in sources.recorded.items():
        if _table(store.body(run.recorded[name])).sha256 != table.sha256:
            raise UserError(f"run {run.id}", f"the recorded answers of {name} have changed since it started", new)


def open_remote(arm: Arm, spec: Spec) -> RemoteModel:
    """The arm's server. Call it inside the event loop that will use it."""
    from ftvp_core.models.openai_compatible import OpenAICompatible

    provider = _provider(arm.candidate, spec)
    return OpenAICompatible(
        provider.base_url, arm.candidate.model_name, api_key(provider, f"candidate {arm.candidate.name}")
    )


def api_key(provider: ProviderSpec, where: str) -> str | None:
    """The provider's key, from the environment. Raises UserError when it is named and unset."""
    if provider.api_key_env is None:
        return None
    key = os.environ.get(provider.api_key_env)
    if not key:
        raise UserError(
            where, f"the environment variable {provider.api_key_env} is not set", "set it to the provider's key"
        )
    key = key.strip()
    if not key.isprintable():
        raise UserError(where, f"the environment variable {provider.api_key_env} holds a control character", "mend it")
    return key


def cache_key(identity: str, request: Request, repeat: int) -> str:
    """What makes two requests the same question: model, rendered messages, parameters, repeat."""
    import hashlib

    parameters = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": request.stop,
        "stream": request.stream,
        "output_schema": request.output_schema,
        "repeat": repeat,
    }
    content = json.dumps([identity, as_json(request.messages), parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _provider(candidate: Candidate, spec: Spec) -> ProviderSpec:
    name = candidate.provider or ""
    if name == "openai" and name not in spec.providers:
        return ProviderSpec(base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY")
    return spec.providers[name]


def _check_limit(arms: list[Arm], limit_usd: Decimal | None) -> None:
    """A limit is given exactly when prices are known. Local work is priced for comparison, not limited."""
    for arm in arms:
        if not arm.is_remote:
            continue
        where = f"candidate {arm.candidate.name}"
        if arm.price is not None and limit_usd is None:
            raise UserError(
                where,
                f"{arm.candidate.model} is priced and there is no cost limit",
                "set run.max_cost_usd or --max-cost",
            )
        if arm.price is None and limit_usd is not None:
            raise UserError(
                where,
                f"there is a cost limit and {arm.candidate.model} has no price",
                f"add prices.{arm.candidate.model}: {{input: …, output: …}}",
            )


def _check_supported(candidate: Candidate, where: str) -> None:
    """What the file may say and this version can't do yet is refused, never left out silently."""
    retrieval = candidate.retrieval
    missing = {
        "retrieval.rerank": retrieval is not None and retrieval.rerank is not None,
        "output_schema of a local model": candidate.output_schema is not None and candidate.provider == "local",
    }
    for key, asked in missing.items():
        if asked:
            raise UserError(where, f"{key}: this value isn't built yet in this version", "leave it out")


def _check_training_rows(candidate: Candidate, where: str, sources: Sources) -> None:
    """Enough to learn from, before anything is trained."""
    if sources.train_set is None:
        return
    if candidate.floor:
        labels = {example.references[0] for example in sources.train_set.examples if example.references}
        if len(labels) < 2:
            raise UserError(where, f"a floor needs training rows of two labels or more; found {len(labels)}")
    if candidate.tune:
        rows = tuning_rows(candidate.tune, sources.train_set, sources.eval_set)
        check_same_system(candidate, where, rows, sources.eval_set)
        if len(rows) < FEWEST_TUNING_ROWS and not candidate.tune.force:
            raise UserError(
                where,
                f"found {len(rows)} rows to train on that have a reference and aren't in the eval set; expected {FEWEST_TUNING_ROWS}",
                "10 rows are learned by heart: add rows, or set tune.force",
            )


def tuning_rows(tune: TuneSpec, train_set: ExampleSet, eval_set: ExampleSet) -> list[Example]:
    """What a candidate is trained on: a seeded shuffle's first `examples`, so that fewer are a subset of more.

    Rows that stand in the eval set are left out, unless `keep_leaked`.
    """
    rows = train_set.examples if tune.keep_leaked else without_leaks(train_set, eval_set)
    able = [example for example in rows if example.references]
    random.Random(tune.seed).shuffle(able)
    return able[: tune.examples]


def few_rows(plan: Plan) -> list[str]:
    """What there is to say of arms that are tuned on few rows."""
    said = []
    for arm in plan.arms:
        if arm.candidate.tune is None or plan.sources.train_set is None:
            continue
        rows = len(tuning_rows(arm.candidate.tune, plan.sources.train_set, plan.sources.eval_set))
        if rows < FEW_TUNING_ROWS:
            said.append(
                f"{arm.candidate.name} is tuned on {rows} rows: fewer than {FEW_TUNING_ROWS} are a start at best, and"
                " are easily learned by heart"
            )
    return said


def _planned_given(candidate: Candidate, where: str, spec: Spec, sources: Sources) -> Given:
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


def _keep_examples(store: Store, examples: ExampleSet) -> str:
    return store.keep("examples", examples.name, len(examples.examples), to_json(examples))


def _keep_knowledge(store: Store, knowledge: Knowledge) -> str:
    keys = {key: value for key, value in asdict(knowledge).items() if key != "empty"}
    return store.keep("knowledge", knowledge.name, len(knowledge.passages), json.dumps(keys))


def _table(body: str) -> Table:
    keys = json.loads(body)
    return Table(**{**keys, "columns": tuple(keys["columns"]), "rows": tuple(keys["rows"])})
