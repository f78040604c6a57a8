"""A plan in the store and out of it again, and whether its file is still the one it began with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ftvp_core import grading
from ftvp_core.data import knowledge
from ftvp_core.data.examples import from_json, json_pieces
from ftvp_core.data.rows import Table, pack_rows
from ftvp_core.errors import UserError
from ftvp_core.runs.arms import Plan, Sources
from ftvp_core.runs.plan import make_plan
from ftvp_core.spec import Spec, dump, parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import ExampleSet, Knowledge


def new_run(store: Store, plan: Plan, folder: Path, versions: Mapping[str, str], request_key: str | None = None) -> str:
    """Store the plan's data and a queued run; with a `request_key`, once, for a worker to take.

    `versions`: the machine and the libraries, by name; the graders' are put beside them.
    """
    recorded = {
        name: store.keep("recorded", name, len(table.rows), json.dumps(_keys(table)))
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
        versions={**versions, "graders": grading.describe(plan.spec.graders)},
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
    return make_plan(parse(run.spec, f"run {run.id}"), stored_sources(store, run), run.limit_usd)


def sets_of(run: RunRow, sources: Sources) -> Callable[[str], ExampleSet]:
    """A stored run's sets by their keys, from the plan that it was made of."""
    keys = {
        run.eval_set: sources.eval_set,
        run.train_set: sources.train_set,
        run.forgetting_set: sources.forgetting_set,
    }
    known = {key: examples for key, examples in keys.items() if key is not None and examples is not None}
    return known.__getitem__


def stored_sources(store: Store, run: RunRow) -> Sources:
    """The data that a run began with."""
    return Sources(
        from_json(store.pieces(run.eval_set)),
        from_json(store.pieces(run.train_set)) if run.train_set else None,
        knowledge.from_json(store.body(run.knowledge)) if run.knowledge else None,
        {name: _table(store.body(key)) for name, key in run.recorded.items()},
        from_json(store.pieces(run.forgetting_set)) if run.forgetting_set else None,
    )


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
        if now is not None and key is not None and from_json(store.pieces(key)).sha256 != now.sha256:
            raise UserError(f"run {run.id}", f"the data of {kind} has changed since it started", new)
    if sources.knowledge and run.knowledge and _keep_knowledge(store, sources.knowledge) != run.knowledge:
        raise UserError(f"run {run.id}", "the knowledge has changed since it started", new)
    for name, table in sources.recorded.items():
        if _table(store.body(run.recorded[name])).sha256 != table.sha256:
            raise UserError(f"run {run.id}", f"the recorded answers of {name} have changed since it started", new)


def _keep_examples(store: Store, examples: ExampleSet) -> str:
    return store.keep("examples", examples.name, len(examples.examples), json_pieces(examples))


def _keep_knowledge(store: Store, known: Knowledge) -> str:
    return store.keep("knowledge", known.name, len(known.passages), knowledge.to_json(known))


def _keys(table: Table) -> dict[str, Any]:
    keys = {field.name: getattr(table, field.name) for field in fields(table)}
    return keys | {"rows": list(table.rows)}


def _table(body: str) -> Table:
    keys = json.loads(body)
    return Table(**{**keys, "columns": tuple(keys["columns"]), "rows": pack_rows(keys["rows"])})
