"""All that a run shows."""

from dataclasses import dataclass

from ftvp_core.types.curves import Curve, LoadCurve
from ftvp_core.types.figures import CandidateFigures, PairFigures, Slice
from ftvp_core.types.tuning import Distillation, Tuned


@dataclass(frozen=True, slots=True)
class Comparison:
    candidates: tuple[CandidateFigures, ...]
    pairs: tuple[PairFigures, ...]
    slices: tuple[Slice, ...] = ()
    curves: tuple[Curve, ...] = ()
    load: tuple[LoadCurve, ...] = ()
    tunes: tuple[Tuned, ...] = ()
    distillations: tuple[Distillation, ...] = ()
