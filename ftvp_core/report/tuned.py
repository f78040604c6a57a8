"""What a run's tunings came to: their pairs with their bases, what they forgot, and which adapter answered."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row

from ftvp_core.analysis.comparison import ArmResults
from ftvp_core.analysis.tuned import Sides, change, forgotten
from ftvp_core.marker import read_marker
from ftvp_core.spec import Spec
from ftvp_core.types import BeforeAfter, Comparison, Example, ExampleSet, Tuned


def tuned(
    spec: Spec,
    comparison: Comparison,
    tunings: Mapping[int, Row[Any]],
    sides: Sequence[ArmResults],
    forgetting_set: ExampleSet | None,
) -> tuple[Tuned, ...]:
    """By tuned candidate, in the file's order. `tunings` by arm; `sides` as `Spec.side_arms` has them."""
    lost = _forgotten(spec, sides, forgetting_set)
    found = []
    for at, candidate in enumerate(spec.candidates):
        if not candidate.is_tuned_here:
            continue
        base = spec.base_of(candidate)
        row = tunings.get(at)
        about = read_marker(Path(row.adapter if row is not None else candidate.adapter or ""))
        found.append(
            Tuned(
                candidate.name,
                base.name if base else None,
                change(comparison, base.name, candidate.name) if base else None,
                forgetting_set.name if forgetting_set else None,
                lost.get(candidate.name),
                adapter=Path(row.adapter).name if row is not None else candidate.adapter,
                rows=row.rows if row is not None else about.get("rows"),
                seconds=row.seconds if row is not None else about.get("seconds"),
                device=about.get("device"),
                best_step=about.get("best_step"),
            )
        )
    return tuple(found)


def clusters_of(examples: Sequence[Example]) -> Any:
    """A number for each example's group; an example without one is its own."""
    numbers, of_group = count(), dict[str, int]()

    def number(group: str | None) -> int:
        if group is None:
            return next(numbers)
        if group not in of_group:
            of_group[group] = next(numbers)
        return of_group[group]

    return np.fromiter((number(one.group) for one in examples), dtype=np.intp, count=len(examples))


def _forgotten(
    spec: Spec, sides: Sequence[ArmResults], forgetting_set: ExampleSet | None
) -> Mapping[str, BeforeAfter | None]:
    if forgetting_set is None:
        return {}
    asked = dict(enumerate(spec.side_arms()))
    names, pairs = [], []
    for at, side in asked.items():
        if side.tuned is not None:
            before = next(
                n for n, each in asked.items() if each.tuned is None and each.candidate.asks_as(side.candidate.base())
            )
            names.append(side.tuned)
            pairs.append(Sides(sides[before], sides[at]))
    found = forgotten(pairs, clusters_of(forgetting_set.examples), spec.decide.margin)
    return dict(zip(names, found, strict=True))
