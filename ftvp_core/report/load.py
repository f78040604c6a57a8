"""A stored run, read into a Report: its comparison and its decision, whatever state it is in."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
from sqlalchemy import Row

from ftvp_core.analysis.comparison import ArmResults, LedgerRow, compare
from ftvp_core.analysis.intervals import Ints
from ftvp_core.analysis.retrieval import MEASURES, scores
from ftvp_core.analysis.sweeps import SweepPoints, curves
from ftvp_core.analysis.under_load import Call, load_point
from ftvp_core.data.checks import check
from ftvp_core.data.examples import from_json
from ftvp_core.decision.measured import measured_warnings
from ftvp_core.decision.rules import decide
from ftvp_core.pricing.prices import pricer
from ftvp_core.report.distilled import as_ledger, billed, distillations, labels_of, request_tokens, with_labels
from ftvp_core.report.tuned import clusters_of, tuned
from ftvp_core.spec import Candidate, Spec, parse
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import (
    Billed,
    Comparison,
    Decision,
    Distillation,
    Example,
    ExampleSet,
    Finding,
    JsonMode,
    LoadCurve,
    LoadPoint,
    Tokens,
    Warned,
)

#: What stands for an answer that hasn't been asked for yet.
NOT_RUN = "not run"
#: From so many answers of its own on, a run's latencies are theirs alone; below, those from the cache stand beside them.
#: Of 59 the slowest is above the 95th percentile with 95 % confidence (Wilks 1941, Ann. Math. Stat. 12:91).
ENOUGH_FRESH = 59


@dataclass(frozen=True, slots=True)
class Report:
    run: RunRow
    spec: Spec
    eval_set: ExampleSet
    comparison: Comparison
    decision: Decision
    latencies_s: dict[str, list[float]]  # by candidate, what its quantiles are of


#: A stored set by its key.
ReadSet = Callable[[str], ExampleSet]
#: What the checks find in an eval set and, if there is one, a training set, by their keys.
FindingsOf = Callable[[ReadSet, str, str | None], Sequence[Finding]]


def reader(store: Store) -> ReadSet:
    """Reads each of a store's sets once."""
    return cache(lambda key: from_json(store.body(key)))


def stored_findings(read_set: ReadSet, eval_set: str, train_set: str | None) -> Sequence[Finding]:
    """What two stored sets are warned of: seconds on large ones, and always the same for the same keys."""
    return check(read_set(eval_set), read_set(train_set) if train_set else None, informing=False)


def load_report(
    store: Store, run_id: str, findings_of: FindingsOf = stored_findings, read_set: ReadSet | None = None
) -> Report:
    """Read and compare. Who loads a run again and again gives a `findings_of` that remembers.

    `read_set` stands in for the store's where the run's sets are at hand. Raises UserError where there is no such run.
    """
    run = store.run(run_id)
    spec = parse(run.spec, f"run {run.id}")
    read_set = read_set or reader(store)
    findings = findings_of(read_set, run.eval_set, run.train_set)
    eval_set = read_set(run.eval_set)
    forgetting_set = read_set(run.forgetting_set) if run.forgetting_set else None
    clusters, margin = clusters_of(eval_set.examples), spec.decide.margin
    arms, distilled = _arms(store, run, spec, eval_set, forgetting_set, clusters)
    n, n_swept = len(spec.candidates), len(spec.arms())
    named, points, sides = arms[:n], iter(arms[n:n_swept]), arms[n_swept:]
    sweeps = [
        SweepPoints(
            sweep.candidate,
            sweep.over,
            [(value, [next(points) for _ in sweep.seeds or (None,)]) for value in sweep.values],
        )
        for sweep in spec.sweeps
    ]
    comparison = compare(named, clusters, [example.tags for example in eval_set.examples], margin)
    comparison = replace(
        comparison,
        curves=curves(sweeps, clusters, margin),
        tunes=tuned(spec, comparison, store.tunings(run_id), sides, forgetting_set),
        distillations=distilled,
        load=_load_curves(store, run, spec),
    )
    structured = frozenset(one.name for one in spec.candidates if one.output_schema is not None)
    decision = decide(comparison, spec.decide, findings, structured)
    decision = replace(decision, warnings=decision.warnings + _measured(store, run, spec, comparison))
    latencies = {arm.name: arm.latency_s[~np.isnan(arm.latency_s)].tolist() for arm in named}
    return Report(run, spec, eval_set, comparison, decision, latencies)


def _load_curves(store: Store, run: RunRow, spec: Spec) -> tuple[LoadCurve, ...]:
    calls: dict[int, list[Call]] = {}
    for row in store.calls(run.id, "load") if spec.run.load else ():
        calls.setdefault(row.arm, []).append(Call(row.sent_at, row.latency_s, row.state == "answered"))
    points: dict[str, list[LoadPoint]] = {}
    for at, (candidate, level) in enumerate(spec.load_levels(), len(spec.arms()) + len(spec.side_arms())):
        if (point := load_point(level, calls.get(at, ()))) is not None:
            points.setdefault(candidate.name, []).append(point)
    return tuple(LoadCurve(name, spec.by_name(name).method, tuple(found)) for name, found in points.items())


def _measured(store: Store, run: RunRow, spec: Spec, comparison: Comparison) -> tuple[Warned, ...]:
    counts = store.counts(run.id)
    from_cache = {one.name: counts[at].from_cache for at, one in enumerate(spec.candidates) if at in counts}
    timed = frozenset(one.name for one in spec.candidates if one.model is not None and one.provider != "local")
    fresh = {
        one.name: counts[at].done - counts[at].failed - counts[at].from_cache
        for at, one in enumerate(spec.candidates)
        if at in counts
    }
    alone = frozenset(name for name in timed if fresh.get(name, 0) >= ENOUGH_FRESH)
    return measured_warnings(comparison, run.lag_s, from_cache, timed, alone)


def _arms(
    store: Store, run: RunRow, spec: Spec, eval_set: ExampleSet, forgetting_set: ExampleSet | None, clusters: Ints
) -> tuple[list[ArmResults], tuple[Distillation, ...]]:
    """The candidates', the sweeps' points, then what was asked on the forgetting set; and what was distilled."""
    asked = [(candidate, eval_set) for candidate in spec.arms()]
    if forgetting_set is not None:
        asked += [(side.candidate, forgetting_set) for side in spec.side_arms()]
    repeats = spec.run.repeats
    by_arm: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in store.results(run.id, texts=False):
        by_arm[row.arm].append(row)
    tagged = any(example.tags for example in eval_set.examples)
    sums: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in store.ledger_sums(run.id, by_example=tagged):
        sums[row.arm].append(row)
    labels = _labels(run, spec, sums)
    probes, tunings = store.probes(run.id), store.tunings(run.id)
    counts = {at: tuning.labels for at, tuning in tunings.items()}
    out = []
    for at, (candidate, examples) in enumerate(asked):
        arm = _arm_results(by_arm[at], len(examples.examples), repeats, probes.get(at))
        arm["retrieval"] = _retrieval(by_arm[at] if candidate.retrieval else (), examples.examples, repeats)
        rows = [_ledger_row(row, tagged) for row in sums[at]]
        if at in labels:
            rows.append(as_ledger(labels[at]))
        if candidate.recorded:
            rows = [_recorded_row(row) for row in by_arm[at]]
        out.append(
            ArmResults(
                candidate.name,
                candidate.method,
                candidate.model,
                ledger=rows,
                priced=_is_priced(candidate, spec),
                batch=spec.is_batched(candidate),
                training_cost_usd=with_labels(tunings[at].cost_usd, counts[at]) if at in tunings else None,
                **arm,
            )
        )
    tokens = {at: request_tokens(by_arm[at]) for at in range(len(spec.candidates))}
    return out, distillations(spec, out, clusters, labels, counts, tokens)


def _labels(run: RunRow, spec: Spec, sums: Mapping[int, list[Row[Any]]]) -> dict[int, Billed]:
    """By position of a student, what its labels were billed; of several who share them, of the first."""
    first: dict[int, int] = {}
    for student, side in labels_of(run.sides).items():
        first.setdefault(side, student)
    priced = {one.name: _is_priced(one, spec) for one in spec.candidates}
    return {
        student: billed(sums[side], priced[spec.arms()[student].tune.teacher])  # type: ignore[union-attr, index]
        for side, student in first.items()
    }


def _is_priced(candidate: Candidate, spec: Spec) -> bool:
    """Whether what it bills is known: then it is 0 as long as nothing was sent."""
    if candidate.recorded:
        return False
    if candidate.model is None or candidate.provider == "local":
        return spec.prices.machine_hour is not None or spec.prices.gpu_hour is not None
    return pricer(candidate, spec) is not None


def _arm_results(rows: Sequence[Row[Any]], n: int, repeats: int, probe: Sequence[float] | None) -> dict[str, Any]:
    """Arrays with a place for every planned (example, repeat). A probe's latencies take the first places."""
    size = n * repeats
    grade, latency_s, ttft_s, valid = (np.full(size, np.nan) for _ in range(4))
    answered, from_cache, cut = (np.zeros(size, dtype=bool) for _ in range(3))
    request_usd: list[Decimal | None] = [None] * size
    errors = [NOT_RUN] * size
    json_modes: list[JsonMode | None] = [None] * size
    for row in rows:
        at = row.example * repeats + row.repeat
        answered[at], from_cache[at], cut[at] = row.answered, row.from_cache, row.cut
        request_usd[at] = row.request_usd
        errors[at] = row.error or ""
        json_modes[at] = row.json_mode
        numbers = ((grade, row.grade), (latency_s, row.latency_s), (ttft_s, row.ttft_s), (valid, row.valid))
        for array, value in numbers:
            if value is not None:
                array[at] = value
    if (~np.isnan(latency_s) & ~from_cache).sum() >= ENOUGH_FRESH:
        latency_s[from_cache] = ttft_s[from_cache] = np.nan
    if probe is not None:
        latency_s[: len(probe)] = probe[:size]
    return {
        "example": np.arange(size) // repeats,
        "answered": answered,
        "grade": grade,
        "latency_s": latency_s,
        "ttft_s": ttft_s,
        "request_usd": request_usd,
        "errors": errors,
        "valid": valid,
        "json_modes": json_modes,
        "cut": cut,
    }


def _retrieval(rows: Sequence[Row[Any]], examples: Sequence[Example], repeats: int) -> Any:
    """Scores of what each prompt was given, where its example says what it should have been."""
    scored = np.full((len(examples) * repeats, MEASURES), np.nan)
    for row in rows:
        gold = examples[row.example].gold
        if row.answered and gold:  # nothing found is found wrong, not left out
            scored[row.example * repeats + row.repeat] = scores(row.passages or (), gold)
    return scored


def _ledger_row(row: Row[Any], by_example: bool) -> LedgerRow:
    return LedgerRow(
        row.example if by_example else -1, row.attempts, row.other_attempts, row.cost_unknown, row.cost_usd,
        Tokens(row.input, row.cached_input, row.output),
    )  # fmt: skip


def _recorded_row(row: Row[Any]) -> LedgerRow:
    """What a recorded answer says of itself; nothing was sent for it now."""
    tokens = Tokens(row.input_tokens, row.cached_tokens, row.output_tokens)
    return LedgerRow(row.example, 0, 0, 0, row.request_usd, tokens)
