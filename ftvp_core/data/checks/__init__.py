"""Checks of an eval set, alone and against a training set, before a cent is spent on it.

A check is one function, `Checked -> its findings`, with a line in `CHECKS`.
"""

from collections.abc import Mapping

from ftvp_core.data.checks.answers import answer_cut, empty_input, empty_reference, error_cell, format_mixed, refusal
from ftvp_core.data.checks.assertions import unsupported_assertion
from ftvp_core.data.checks.common import Check, Checked, folded, labels_of
from ftvp_core.data.checks.labels import label_spelling
from ftvp_core.data.checks.language import language_mix
from ftvp_core.data.checks.leaks import (
    contradiction,
    contradiction_near,
    duplicate_exact,
    duplicate_near,
    leak_exact,
    leak_near,
    without_leaks,
)
from ftvp_core.data.checks.private import personal_data
from ftvp_core.data.checks.prompts import system_prompt, too_long
from ftvp_core.data.checks.sizes import (
    detectable,
    detectable_difference,
    difference_finding,
    label_imbalance,
    label_rare,
    too_few,
    train_size,
)
from ftvp_core.types import ExampleSet, Finding

__all__ = [
    "CHECKS", "check", "detectable_difference", "difference_finding", "folded", "labels_of", "without_leaks",
]  # fmt: skip

CHECKS: tuple[Check, ...] = (
    leak_exact, leak_near, contradiction, duplicate_exact, duplicate_near, empty_input, empty_reference, error_cell, unsupported_assertion, too_few, system_prompt,
    label_spelling, format_mixed, answer_cut, refusal, too_long, personal_data, language_mix, contradiction_near,
    label_imbalance, label_rare, train_size, detectable,
)  # fmt: skip


def check(
    eval_set: ExampleSet,
    train_set: ExampleSet | None = None,
    *,
    systems: Mapping[str, str | None] | None = None,
    window: int | None = None,
    informing: bool = True,
) -> tuple[Finding, ...]:
    """Every finding, the gravest first.

    `systems` are the system prompts of the candidates by name; `window` is the smallest context of their models, in
    tokens. Findings of the training set have `train-` before their id. Without `informing`,
    what only informs may be left out where it takes long to find.
    """
    checked = Checked(eval_set, train_set, systems, window, informing)
    found = [finding for one in CHECKS for finding in one(checked)]
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))
