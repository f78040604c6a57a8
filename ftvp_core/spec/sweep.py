"""One candidate with one of its numbers changed."""

from typing import Any

from pydantic import Field

from ftvp_core.spec.candidate import Candidate
from ftvp_core.spec.parts import Part


class Sweep(Part):
    """One candidate, repeated with one of its numbers changed. `over` is the path to that number.

    With `seeds` each point is made once with each of them as the `seed` beside that number: a curve's spread.
    """

    candidate: str
    over: str
    values: tuple[int | float, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = ()

    def points(self) -> tuple[tuple[float, int | None], ...]:
        """Each value with each seed, in their order; the seed is None where none is given."""
        return tuple((value, seed) for value in self.values for seed in self.seeds or (None,))


def swept(candidate: Candidate, over: str, value: float, seed: int | None = None) -> Candidate:
    """The candidate with the number at the dotted path `over` replaced, and the `seed` beside it if one is given.

    Raises KeyError, ValidationError.
    """
    keys = candidate.model_dump()
    *path, last = over.split(".")
    part: Any = keys
    for key in path:
        if not isinstance(part, dict) or part.get(key) is None:
            raise KeyError(over)
        part = part[key]
    if not isinstance(part, dict) or last not in part or over == "name":
        raise KeyError(over)
    part[last] = value
    if seed is not None:
        if "seed" not in part:
            raise KeyError(over)
        part["seed"] = seed
    beside = f", seed={seed}" if seed is not None else ""
    return Candidate(**{**keys, "name": f"{candidate.name} [{over}={value:g}{beside}]"})
