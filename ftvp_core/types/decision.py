"""What to choose, why, and what would change it."""

from dataclasses import dataclass
from typing import Literal

from ftvp_core.types.figures import Interval


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule of the thesis: whether it fired, and the figures that made it.

    `applies`: whether there are candidates to try it on; else `evidence` says which are missing.
    """

    id: str
    fired: bool
    evidence: str
    applies: bool = True


@dataclass(frozen=True, slots=True)
class Warned:
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where `a`, dearer to start, becomes cheaper than `b`; None where it never does or already is."""

    a: str
    b: str
    requests_per_month: float | None
    interval: Interval | None
    state: Literal["crosses", "never", "already"]


@dataclass(frozen=True, slots=True)
class Decision:
    choose: str | None
    rules: tuple[RuleTrace, ...]
    warnings: tuple[Warned, ...]
    break_even: tuple[BreakEven, ...]
