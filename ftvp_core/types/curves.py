"""What a number changes: sweeps, learning curves, and latency under load."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ftvp_core.types.asking import Method
from ftvp_core.types.figures import CandidateFigures, Interval, Measured, Quantiles, Verdict


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One value. With several seeds the figures are over all of them, and `by_seed` has each one's accuracy."""

    value: float
    figures: CandidateFigures
    by_seed: tuple[float | None, ...] = ()


class FitBand(NamedTuple):
    """A fitted learning curve at so many rows, with its 95 % interval."""

    rows: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningFit:
    """accuracy(n) = a − b·n^(−c). `trainings`: the fewest at any size.

    `more_rows` are those that bring two points more, and `more_rows_low`, `more_rows_high` its interval's ends; None
    where so many lie too far beyond what was tried. `gain_of_twice`: what twice as many rows bring. `off`: how far the
    farthest size lies from the curve, where that is more than its own interval explains.
    """

    verdict: Literal["rises", "flattened", "not decided", "too few points"]
    trainings: int
    a: float | None = None
    b: float | None = None
    c: float | None = None
    more_rows: float | None = None
    more_rows_low: float | None = None
    more_rows_high: float | None = None
    gain_of_twice: Interval | None = None
    off: float | None = None
    band: tuple[FitBand, ...] = ()


@dataclass(frozen=True, slots=True)
class BesideFloor:
    """A curve's point minus a floor's on the same number of rows, over the examples that both were scored on."""

    floor: str
    value: float
    n: int
    difference: float
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Curve:
    """A sweep. `fit`: where it is over training rows. `best`: where it isn't, the value of the most accurate point, and
    `corrected` its accuracy without the luck of having been chosen on these rows."""

    candidate: str
    over: str
    points: tuple[CurvePoint, ...]
    fit: LearningFit | None = None
    beside_floor: tuple[BesideFloor, ...] = ()
    best: float | None = None
    corrected: Measured | None = None


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """A server's candidate with so many calls in flight: `n` answered calls, and `failed` ones; answers a second."""

    concurrency: int
    n: int
    failed: int
    latency_s: Quantiles | None
    per_s: float | None


@dataclass(frozen=True, slots=True)
class LoadCurve:
    candidate: str
    method: Method
    points: tuple[LoadPoint, ...]
