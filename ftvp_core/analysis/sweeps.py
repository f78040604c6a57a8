"""A sweep's points to its Curve: what each value brings, whether more rows would help, and what choosing is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from ftvp_core.analysis.comparison import ArmResults, by_example, candidate_figures, shared_differences
from ftvp_core.analysis.intervals import Floats, Ints, difference_interval
from ftvp_core.analysis.learning import Trained, fit_learning_curve
from ftvp_core.analysis.paired import holm, paired_p, verdict
from ftvp_core.analysis.selection import corrected_best
from ftvp_core.types import BesideFloor, Curve, CurvePoint

#: Sweeps over the number of training rows.
OVER_ROWS = {"tune.examples", "train.rows"}


@dataclass(frozen=True, slots=True)
class SweepPoints:
    """A sweep's arms by value, one a seed."""

    candidate: str
    over: str
    points: Sequence[tuple[float, Sequence[ArmResults]]]


def curves(sweeps: Sequence[SweepPoints], clusters: Ints, margin: float) -> tuple[Curve, ...]:
    """`clusters` by example. A curve over training rows is fitted, and held beside the floors' on as many rows."""
    floors = [sweep for sweep in sweeps if sweep.over == "train.rows"]
    return tuple(_curve(sweep, floors, clusters, margin) for sweep in sweeps)


def _curve(sweep: SweepPoints, floors: Sequence[SweepPoints], clusters: Ints, margin: float) -> Curve:
    points = tuple(_point(value, arms, clusters) for value, arms in sweep.points)
    if sweep.over in OVER_ROWS:
        trained = [Trained(value, _grades(arms, len(clusters))) for value, arms in sweep.points]
        beside = _beside_floors(sweep, floors, clusters, margin) if sweep.over == "tune.examples" else ()
        return Curve(sweep.candidate, sweep.over, points, fit_learning_curve(trained, clusters), beside)
    known = [point for point in points if point.figures.accuracy is not None]
    if len(known) < 2:
        return Curve(sweep.candidate, sweep.over, points)
    best = max(known, key=lambda point: point.figures.accuracy or 0.0)
    grades = np.array([by_example(_together(arms), len(clusters)) for _, arms in sweep.points])
    return Curve(
        sweep.candidate, sweep.over, points, best=best.value, corrected=corrected_best(grades, clusters)
    )  # fmt: skip


def _point(value: float, arms: Sequence[ArmResults], clusters: Ints) -> CurvePoint:
    figures = candidate_figures(_together(arms), clusters)
    each = [candidate_figures(arm, clusters).accuracy for arm in arms] if len(arms) > 1 else []
    return CurvePoint(value, figures, tuple(each))


def _grades(arms: Sequence[ArmResults], size: int) -> Floats:
    """Trainings × examples."""
    return np.array([by_example(arm, size) for arm in arms])


def _beside_floors(
    sweep: SweepPoints, floors: Sequence[SweepPoints], clusters: Ints, margin: float
) -> tuple[BesideFloor, ...]:
    """At each value that a floor has too. Holm's adjustment over all of them."""
    found = []
    for floor in floors:
        at_value = dict(floor.points)
        for value, arms in sweep.points:
            if value in at_value:
                examples, differences = shared_differences(_together(arms), _together(at_value[value]))
                if len(examples):
                    found.append((floor.candidate, value, clusters[examples], differences))
    adjusted = holm([paired_p(differences, groups) for _, _, groups, differences in found])
    out = []
    for (name, value, groups, differences), p_adjusted in zip(found, adjusted, strict=True):
        difference, interval = float(differences.mean()), difference_interval(differences, groups)
        said = verdict(difference, interval, p_adjusted, margin)
        out.append(BesideFloor(name, value, len(differences), difference, interval, said))
    return tuple(out)


def _together(arms: Sequence[ArmResults]) -> ArmResults:
    """Several trainings as one arm: each example has one answer a training, side by side, as repeats are."""
    first, *others = arms
    if not others:
        return first
    order = np.argsort(np.concatenate([arm.example for arm in arms]), kind="stable")
    arrays: dict[str, Any] = {
        key: np.concatenate([getattr(arm, key) for arm in arms])[order]
        for key in ("example", "answered", "grade", "latency_s", "ttft_s", "retrieval", "valid")
    }
    lists: dict[str, Any] = {
        key: [values[at] for at in order.tolist()]
        for key in ("request_usd", "errors", "json_modes")
        if (values := [value for arm in arms for value in getattr(arm, key)])
    }
    costs = [arm.training_cost_usd for arm in arms]
    return replace(
        first,
        ledger=[row for arm in arms for row in arm.ledger],
        training_cost_usd=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        **arrays,
        **lists,
    )
