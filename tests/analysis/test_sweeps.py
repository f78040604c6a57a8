"""A sweep's points: several trainings of one size are one point, with all that is known of their answers."""

from dataclasses import replace

import numpy as np
import pytest

from ftvp_core.analysis.sweeps import SweepPoints, curves
from ftvp_core.types import Interval
from tests.analysis.test_comparison import FAILED, arm


def test_trainings_of_one_size_are_one_point_with_each_ones_accuracy_beside_it() -> None:
    trained = [arm("a", grades) for grades in ([1, 1, 0, 0], [1, 0, FAILED, 0])]
    (curve,) = curves([SweepPoints("a", "tune.examples", [(50, trained)])], np.arange(4), 0.02)
    (point,) = curve.points
    assert (point.value, point.figures.n, point.figures.n_failed) == (50, 8, 1)
    assert point.figures.accuracy == pytest.approx(3 / 7)
    assert list(point.by_seed) == pytest.approx([1 / 2, 1 / 3])


def test_answers_of_several_trainings_that_a_schema_holds_are_all_counted_as_valid_or_not() -> None:
    trained = [
        replace(arm("a", [1, 0, 1]), valid=np.array(valid), json_modes=["constrained"] * 3)
        for valid in ([1.0, 0.0, 1.0], [1.0, 1.0, np.nan])
    ]
    (curve,) = curves([SweepPoints("a", "tune.rank", [(4, trained)])], np.arange(3), 0.02)
    held = curve.points[0].figures.valid_output
    assert held is not None and isinstance(held.interval, Interval)
    assert (held.value, held.n, held.modes) == (0.8, 5, {"constrained": 6})
