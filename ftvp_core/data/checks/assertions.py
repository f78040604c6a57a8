"""Rows whose own assertions can't be run here: they are listed, never dropped."""

from collections import Counter
from collections.abc import Iterator

from ftvp_core.data.checks.common import Checked, finding
from ftvp_core.grading.assertions import unsupported_assertions
from ftvp_core.types import Finding


def unsupported_assertion(checked: Checked) -> Iterator[Finding]:
    found = unsupported_assertions(checked.eval_set)
    kinds = Counter(name for _, name in found)
    named = ", ".join(f"{name} ({count:,})" for name, count in kinds.most_common())
    yield from finding(
        "unsupported-assertion", "warning", (row for row, _ in found),
        f"Rows with an assertion that can't be run here: {{n}}; {named}. They stay ungraded. Give them one that can, such as contains or is-json.",
    )  # fmt: skip
