"""Everything a run needs, checked before the first call: data, prompts, prices, keys, graders."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path

from ftvp_core import grading
from ftvp_core.candidates.embedders import check_local_model
from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.candidates.prompt import Render, as_json, check_same_system, fields, renderer, sent_text
from ftvp_core.candidates.structured import prompted, repairing
from ftvp_core.data.checks import labels_of, without_leaks
from ftvp_core.data.checks.leaks import tagged
from ftvp_core.data.examples import from_json, nested, sampled, to_examples, to_json
from ftvp_core.data.knowledge import read_knowledge
from ftvp_core.data.rows import Table, read_table
from ftvp_core.errors import UserError
from ftvp_core.models import RemoteModel
from ftvp_core.models.constrained import runnable
from ftvp_core.models.local import check_folders
from ftvp_core.models.recorded import read_recorded
from ftvp_core.pricing.prices import Pricer, pricer, reserve
from ftvp_core.runs.searches import Search, Searched, foreseen, searches
from ftvp_core.schemas import Schema
from ftvp_core.spec import (
    DEFAULT,
    OPENAI,
    Candidate,
    KnowledgeSpec,
    ProviderSpec,
    RetrievalSpec,
    Spec,
    TrainRows,
    TuneSpec,
    dump,
    parse,
)
from ftvp_core.store.store import RunRow, Store
from ftvp_core.tokens import ESTIMATE, counter
from ftvp_core.types import Example, ExampleSet, Given, Knowledge, Passage, Request

ReadTable = Callable[[Path, str | None], Table]
ReadKnowledge = Callable[[Path, KnowledgeSpec], Knowledge]

#: Fewer rows than this are refused for training (unless forced): they are learned by heart. Fewer than the second
#: are warned of.
FEWEST_TUNING_ROWS, FEW_TUNING_ROWS = 10, 50
#: Of an answer that isn't there yet, for the estimate of its repair.
BYTES_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Sources:
    """The data of a comparison, as read. `recorded` by the path that the file gives."""

    eval_set: ExampleSet
    train_set: ExampleSet | None
    knowledge: Knowledge | None
    recorded: Mapping[str, Table]
    forgetting_set: ExampleSet | None = None


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
    examples: tuple[Example, ...]
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


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may take at the most. `counted_by` says how the tokens were counted; `batched` are calls in batches."""

    calls: int
    input_tokens: int
    counted_by: str
    most_usd: Decimal | None
    concurrency: int
    batched: int = 0
    repairs: int = 0  # calls on top, where a server has no JSON mode and its first answers are invalid

    @property
    def seconds(self) -> float:
        """How long the calls take if each takes one second: no provider tells beforehand. A batch takes up to a day."""
        return (self.calls - self.batched) / self.concurrency


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
            for model in {candidate.retrieval.embedder, candidate.retrieval.rerank or DEFAULT}:
                check_local_model(model, folder)
    forgetting_set = None
    if spec.forgetting_set:
        other = spec.forgetting_set
        forgetting_set = sampled(
            to_examples(read_table(folder / other.path, other.encoding), other), other.limit, other.seed
        )
    eval_set = sampled(whole, spec.eval_set.limit, spec.eval_set.seed)
    evaluated = tagged(eval_set, train_set) if train_set else eval_set
    return Sources(evaluated, train_set, knowledge, recorded, forgetting_set)


def make_plan(spec: Spec, sources: Sources, limit_usd: Decimal | None = None) -> Plan:
    """Check what can be checked without a call. `limit_usd` replaces the file's. Raises UserError."""
    limit_usd = limit_usd if limit_usd is not None else spec.run.max_cost_usd
    arms = []
    for candidate in spec.arms():
        where = f"candidate {candidate.name}"
        _check_training_rows(candidate, where, sources)
        if candidate.provider and candidate.provider != "local":
            api_key(provider_of(candidate, spec), where)
            if spec.is_batched(candidate) and candidate.sampling.stream:
                raise UserError(where, "found sampling.stream; a batch can't stream", "leave out one of the two")
        render = renderer(candidate, where, sources.eval_set)
        planned = _planned_given(candidate, where, spec, sources)
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
    sides = (*_forgetting_arms(arms, spec, sources), *_load_arms(spec, arms), *label_arms(arms, sources))
    arms += sides
    _check_limit(arms, limit_usd)
    graders = grading.build(spec.graders, labels_of(sources.eval_set) or ())
    return Plan(spec, sources, tuple(arms), graders, limit_usd)


def _load_arms(spec: Spec, arms: Sequence[Arm]) -> list[Arm]:
    """Each server's candidate again at each level, on the eval set's first examples, over and over if it is short."""
    if spec.run.load is None:
        return []
    levels = spec.load_levels()
    if not levels:
        raise UserError("run.load", "there is no server's candidate to load", "leave it out")
    of_name = {arm.candidate.name: arm for arm in arms}
    asked = tuple(islice(cycle(arms[0].examples), spec.run.load.examples))
    return [
        replace(of_name[one.name], examples=asked, repeats=1, is_side=True, concurrency=level) for one, level in levels
    ]


def estimate(plan: Plan, arms: Sequence[Arm] | None = None) -> Estimate:
    """Calls, input tokens and the most that they can cost, of some arms or of all, with every repair that may be.

    Retries, which are billed rarely, aren't in it.
    """
    calls = tokens = batched = repairs = 0
    most: Decimal | None = Decimal(0)
    methods: set[str] = set()
    arms = plan.arms if arms is None else arms
    for arm in arms:
        if not arm.is_remote:
            continue
        repeats = arm.repeats
        counted = counter(arm.candidate.model_name)
        methods.add(counted.method)
        for example in arm.examples:
            request = arm.render(example, arm.planned)
            prompt = sent_text(request)
            calls += repeats
            batched += repeats * arm.is_batched
            tokens += repeats * counted.count(prompt)
            sent = [prompt]
            if arm.schema is not None and not arm.is_batched:  # a batch repairs nothing
                asked = prompted(request)
                repair = repairing(asked, "0" * BYTES_A_TOKEN * request.max_tokens, "")
                sent = [sent_text(asked), sent_text(repair)]
                repairs += repeats
            if arm.price is None:
                most = None
            elif most is not None:
                most += repeats * sum(reserve(arm.price, text, request.max_tokens) for text in sent)
    passages = [passage.text for passage in plan.sources.knowledge.passages] if plan.sources.knowledge else []
    for search, texts in foreseen([_searched(plan, arm) for arm in arms], passages):
        methods.add(ESTIMATE.method)
        calls += 1
        tokens += sum(map(ESTIMATE.count, texts))
        most = None if most is None or search.price is None else most + search.most(texts)
    return Estimate(calls, tokens, ", ".join(sorted(methods)), most, plan.spec.run.concurrency, batched, repairs)


def _searched(plan: Plan, arm: Arm) -> Searched:
    """An arm's search with all that it may be asked: its examples, and shots or training rows that it retrieves for."""
    candidate, train = arm.candidate, plan.sources.train_set
    questions = [example.input for example in arm.examples]
    if candidate.tune or (candidate.shots and candidate.shots.select == "nearest"):
        questions += [example.input for example in train.examples] if train else []
    else:
        questions += [shot.input for shot, _ in arm.planned.shots]
    return Searched(candidate.retrieval, arm.embeds, arm.reranks, questions)


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
        forgetting_set=_keep_examples(store, plan.sources.forgetting_set) if plan.sources.forgetting_set else None,
        knowledge=_keep_knowledge(store, plan.sources.knowledge) if plan.sources.knowledge else None,
        recorded=recorded,
        versions=versions,
        limit_usd=plan.limit_usd,
        request_key=request_key,
        sides=[
            {
                "arm": at,
                "name": plan.side_name(at),
                "calls": arm.calls,
                "labels": asdict(arm.labels) if arm.labels else None,
            }
            for at, arm in enumerate(plan.arms)
            if arm.is_side
        ],
    )


def stored_plan(store: Store, run: RunRow) -> Plan:
    """The plan of a stored run, from the store alone."""
    train_set = from_json(store.body(run.train_set)) if run.train_set else None
    knowledge = stored_knowledge(store, run.knowledge) if run.knowledge else None
    recorded = {name: _table(store.body(key)) for name, key in run.recorded.items()}
    forgetting_set = from_json(store.body(run.forgetting_set)) if run.forgetting_set else None
    sources = Sources(from_json(store.body(run.eval_set)), train_set, knowledge, recorded, forgetting_set)
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
        ("forgetting_set", sources.forgetting_set, run.forgetting_set),
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

    provider = provider_of(arm.candidate, spec)
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


def cache_key(identity: str, request: Request, repeat: int, asked: str | None = None) -> str:
    """What makes two requests the same question: model, rendered messages, parameters, repeat.

    `asked`: how a schema was asked for, natively or in the prompt.
    """
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
        **({} if asked is None else {"json_mode": asked}),
    }
    content = json.dumps([identity, as_json(request.messages), parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def provider_of(candidate: Candidate, spec: Spec) -> ProviderSpec:
    return provider_named(candidate.provider or "", spec)


def provider_named(name: str, spec: Spec) -> ProviderSpec:
    """Where a provider's server is; OpenAI's own needs no entry."""
    if name == "openai" and name not in spec.providers:
        return OPENAI
    return spec.providers[name]


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


def _check_training_rows(candidate: Candidate, where: str, sources: Sources) -> None:
    """Enough to learn from, before anything is trained."""
    if sources.train_set is None:
        return
    if candidate.floor:
        rows = floor_rows(candidate.train, sources.train_set, sources.eval_set)
        labels = {example.references[0] for example in rows if example.references}
        if len(labels) < 2:
            raise UserError(where, f"a floor needs training rows of two labels or more; found {len(labels)}")
    if candidate.tune:
        learned = tuning_rows(candidate.tune, sources.train_set, sources.eval_set)
        check_same_system(candidate, where, learned, sources.eval_set)
        if len(learned) < FEWEST_TUNING_ROWS and not candidate.tune.force:
            able = "aren't" if candidate.tune.teacher else "have a reference and aren't"
            raise UserError(
                where,
                f"found {len(learned)} rows to train on that {able} in the eval set; expected {FEWEST_TUNING_ROWS}",
                "10 rows are learned by heart: add rows, or set tune.force",
            )


def tuning_rows(tune: TuneSpec, train_set: ExampleSet, eval_set: ExampleSet) -> list[Example]:
    """What a candidate is trained on, in a seeded order: `examples` of them are `nested`.

    Rows that stand in the eval set are left out, unless `keep_leaked`. With a teacher they need no reference.
    """
    rows = train_set.examples if tune.keep_leaked else without_leaks(train_set, eval_set)
    able = [example for example in rows if example.references or tune.teacher]
    return nested(able, tune.examples, tune.seed, by_label=labels_of(train_set) is not None)


def floor_rows(train: TrainRows, train_set: ExampleSet, eval_set: ExampleSet) -> Sequence[Example]:
    """What a floor learns from: all rows as they stand, or those that a tune of so many examples has."""
    if train.rows is None:
        return train_set.examples
    able = [example for example in without_leaks(train_set, eval_set) if example.references]
    return nested(able, train.rows, train.seed, by_label=labels_of(train_set) is not None)


def _forgetting_arms(arms: Sequence[Arm], spec: Spec, sources: Sources) -> list[Arm]:
    """The side arms that are asked what may have been forgotten. Raises UserError for a prompt they can't be asked by.

    They are asked by the candidate's own prompt. A row's input also stands under the eval set's name for it.
    """
    asked = sources.forgetting_set
    if asked is None:
        return []
    names = [arm.candidate.name for arm in arms]
    graders = grading.build(spec.graders, labels_of(asked) or ())
    known = {"input", "context", sources.eval_set.mapping.input, *asked.examples[0].columns}
    found = []
    for side in spec.side_arms():
        candidate, where = side.candidate, f"candidate {side.candidate.name}"
        prompt = candidate.prompt
        for column in fields(f"{prompt.system or ''}{prompt.user}"):
            if column not in known:
                raise UserError(
                    f"forgetting_set {asked.name}",
                    f"has no column {column!r}, which the prompt of {candidate.name} names",
                    "write {input} there, which every set has, or give it that column",
                )
        embeds, reranks = searches(candidate.retrieval, spec)
        found.append(
            Arm(
                candidate,
                asked.examples,
                renderer(candidate, where, sources.eval_set),
                pricer(candidate, spec),
                _planned_given(candidate, where, spec, sources),
                spec.run.repeats,
                is_side=True,
                adapter_of=names.index(side.tuned) if side.tuned is not None else None,
                graders=graders,
                embeds=embeds,
                reranks=reranks,
            )
        )
    return found


def label_arms(arms: Sequence[Arm], sources: Sources) -> list[Arm]:
    """A side arm for each teacher: it labels all rows that its students train on, once for all of them.

    Raises UserError where the teacher can't be asked about a training row.
    """
    students: dict[tuple[str, int], list[int]] = {}
    for at, arm in enumerate(arms):
        if arm.candidate.tune and arm.candidate.tune.teacher:
            students.setdefault((arm.candidate.tune.teacher, arm.candidate.tune.answers_a_row), []).append(at)
    names = [arm.candidate.name for arm in arms]
    found = []
    for (name, answers), taught in students.items():
        assert sources.train_set is not None
        teacher = arms[names.index(name)]
        rows = rows_to_label([arms[at].candidate for at in taught], sources.train_set, sources.eval_set)
        if teacher.candidate.retrieval and teacher.candidate.retrieval.oracle and not all(row.gold for row in rows):
            raise UserError(
                f"candidate {names[taught[0]]}.tune.teacher",
                f"{name} is given gold passages (retrieval.oracle), and {sources.train_set.name} names none",
                "name a teacher that searches",
            )
        if rows:
            teacher.render(rows[0], teacher.planned)
        at = names.index(name)
        labels = Labels(at, tuple(taught))
        found.append(replace(teacher, examples=rows, repeats=answers, is_side=True, adapter_of=at, labels=labels))
    return found


def rows_to_label(students: Sequence[Candidate], train_set: ExampleSet, eval_set: ExampleSet) -> tuple[Example, ...]:
    """All rows that some students train on, in the training set's order."""
    wanted = {row.id for one in students if one.tune for row in tuning_rows(one.tune, train_set, eval_set)}
    return tuple(row for row in train_set.examples if row.id in wanted)


def few_rows(plan: Plan) -> list[str]:
    """What there is to say of arms that are tuned on few rows."""
    said = []
    for arm in plan.arms:
        if arm.candidate.tune is None or arm.is_side or plan.sources.train_set is None:
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
