"""Which of several columns is meant: the one whose name says it most plainly, in whatever order they stand."""

from itertools import permutations

import pytest

from ftvp_core.data.formats.columns import recognise


@pytest.mark.parametrize(
    ("columns", "reference"),
    [
        (("id", "input", "expected", "category"), "expected"),
        (("question", "category", "answer"), "answer"),
        (("instruction", "category", "output"), "output"),
        (("prompt", "ideal", "label"), "ideal"),
        (("prompt", "class", "target"), "target"),
        (("text", "category"), "category"),
    ],
)
def test_a_slice_beside_the_reference_is_not_taken_for_it(columns: tuple[str, ...], reference: str) -> None:
    assert {recognise(order)[1] for order in permutations(columns)} == {reference}
