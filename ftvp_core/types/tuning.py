"""What tuning and distillation brought, and what they were billed."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.types.figures import Interval, Measured, Tokens, Verdict


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """Accuracies of an untuned model and of the tuned one, and `difference` = after − before on what both answered."""

    n: int
    before: Measured
    after: Measured
    difference: float
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned candidate. `base`: the candidate that asks the same of the untuned model; None where the file has none.

    `adapter` names all that its adapter comes from; `forgetting` is on the second eval set, `change` on the first.
    """

    candidate: str
    base: str | None
    change: BeforeAfter | None
    forgetting_set: str | None = None
    forgetting: BeforeAfter | None = None
    adapter: str | None = None
    rows: int | None = None
    seconds: float | None = None
    device: str | None = None
    best_step: int | None = None

    @property
    def advice(self) -> str | None:
        """What to do with it; None where there is nothing to go by."""
        if self.change is None:
            return None
        return "shown better than its base" if self.change.verdict == "better" else "no improvement: don't adopt"

    @property
    def forgets(self) -> bool:
        return self.forgetting is not None and self.forgetting.verdict == "worse"


@dataclass(frozen=True, slots=True)
class Billed:
    """What a run's provider billed, or this machine took, for something beside the candidates' own answers.

    `cost_usd` is the known part; None where nothing has a price.
    """

    attempts: int
    cost_unknown: int
    cost_usd: Decimal | None
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Distillation:
    """A student that was tuned on a teacher's answers, and what came of it.

    `before`: the candidate that is the student untuned, if there is one. `rows` were labelled: `kept` of them passed the
    filter `keep`, the others were `dropped`, by reason; `unchecked` of the kept ones hold nothing to be checked against.
    They are None as long as the student isn't tuned. `retained` is the student's accuracy over the teacher's, on the
    examples that both were scored on. `tokens_a_request` are of an answered request, in and out, by candidate.
    `labels` is what this run was billed for them; students of one teacher share them, and they stand with
    the first.
    """

    student: str
    teacher: str
    before: str | None
    keep: str
    answers: int
    rows: int | None
    kept: int | None
    dropped: Mapping[str, int]
    unchecked: int
    retained: Measured | None
    tokens_a_request: Mapping[str, float | None]
    labels: Billed
