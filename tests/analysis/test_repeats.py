"""The spread over repeats, against a published table and numpy."""

import numpy as np
import pytest

from ftvp_core.analysis.repeats import spread

#: Ten subjects rated by fourteen raters in five categories: the observed agreement is 0.378
#: (Wikipedia, "Fleiss' kappa", worked example).
RATED = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


def test_agreement_is_the_published_one() -> None:
    grades = np.array([[at / 4 for at, count in enumerate(row) for _ in range(count)] for row in RATED]).ravel()
    found = spread(grades, np.repeat(np.arange(10), 14))
    assert found is not None
    assert found.agreement == pytest.approx(0.378, abs=0.0005)
    assert found.flipped == 0.9


def test_each_repeat_has_its_accuracy_and_what_is_missing_is_left_out() -> None:
    table = np.array([[1, 1, 0], [1, 0, np.nan], [0, 0, 0], [np.nan, 1, np.nan]], dtype=float)
    found = spread(table.ravel(), np.repeat(np.arange(4), 3))
    assert found is not None
    assert found.accuracies == (2 / 3, 0.5, 0.0)
    assert (found.min, found.max) == (0.0, 2 / 3)
    assert found.sd == pytest.approx(np.std([2 / 3, 0.5, 0.0], ddof=1))
    assert found.flipped == pytest.approx(2 / 3)  # of three examples with two graded answers
    assert found.agreement == pytest.approx((1 / 3 + 0 + 1) / 3)


def test_one_answer_an_example_or_none_has_no_spread() -> None:
    assert spread(np.array([1.0, 0.0]), np.arange(2)) is None
    assert spread(np.array([np.nan] * 4), np.repeat(np.arange(2), 2)) is None
    assert spread(np.array([]), np.array([], dtype=np.intp)) is None
