"""How candidates stand to each other: against a baseline, and on the frontier of accuracy and cost."""

from dataclasses import dataclass

from ftvp_core.report.arm_results import NOT_RUN
from ftvp_core.types import CandidateFigures, Comparison, Decision, Interval, Verdict, Warned

#: Warnings that are good to know and turn no verdict.
NOTES = frozenset({
    "duplicate-exact", "label-spelling", "format-mixed", "answer-cut", "refusal", "too-long", "personal-data",
    "language-mix", "busy-machine", "from-cache",
})  # fmt: skip
#: Warnings that a page's own part says with its figures: "Before and after tuning".
SAID_BELOW = frozenset({"no-improvement"})


@dataclass(frozen=True, slots=True)
class Against:
    """A candidate minus the baseline, over the examples that both were scored on."""

    difference: float
    interval: Interval
    verdict: Verdict


def baseline(comparison: Comparison, decision: Decision) -> str:
    """What the others are held against: the first prompt, else the chosen candidate, else the first."""
    prompts = [one.name for one in comparison.candidates if one.method == "prompt"]
    return next(iter(prompts), decision.choose or comparison.candidates[0].name)


def against(comparison: Comparison, name: str) -> dict[str, Against]:
    """Every other candidate that shares scored examples with `name`."""
    found = {}
    for one in comparison.pairs:
        if name not in {one.a, one.b}:
            continue
        pair = one if one.b == name else one.turned
        if pair.difference is not None and pair.interval is not None:
            found[pair.a] = Against(pair.difference, pair.interval, pair.verdict)
    return found


def best_first(comparison: Comparison) -> list[CandidateFigures]:
    """By accuracy; what has none comes last, in the file's order."""
    return sorted(comparison.candidates, key=lambda one: -1.0 if one.accuracy is None else one.accuracy, reverse=True)


def frontier(comparison: Comparison) -> list[CandidateFigures]:
    """From the cheapest up: no other candidate is both as cheap and more accurate. Unpriced ones are left out."""
    priced = [one for one in comparison.candidates if one.cost_per_1k_usd is not None and one.accuracy is not None]
    found: list[CandidateFigures] = []
    for one in sorted(priced, key=lambda each: (each.cost_per_1k_usd, -(each.accuracy or 0.0))):
        if not found or (one.accuracy or 0.0) > (found[-1].accuracy or 0.0):
            found.append(one)
    return found


def not_run(one: CandidateFigures) -> int:
    return one.failures.get(NOT_RUN, 0)


def failures(one: CandidateFigures) -> dict[str, int]:
    """Rows that were tried and brought no answer, by cause, the most frequent first."""
    return {cause: count for cause, count in one.failures.items() if cause != NOT_RUN}


def warnings(decision: Decision, state: str) -> list[Warned]:
    """Those that may turn the verdict: they stand above it. Before a run is done, rows still to come aren't failures,
    nor is what is under way unknown.
    """
    to_come = ("many-failed", "cost-unknown", "forgetting")
    early = {"done": (), "queued": to_come, "running": to_come}
    left = {*early.get(state, ("many-failed",)), *NOTES, *SAID_BELOW}
    return [one for one in decision.warnings if _kind(one) not in left]


def notes(decision: Decision) -> list[Warned]:
    """Those on how the data are written and how it was measured: they stand below the answer."""
    return [one for one in decision.warnings if _kind(one) in NOTES]


def _kind(one: Warned) -> str:
    """A finding of the training set is of the same kind as one of the eval set."""
    return one.id.removeprefix("train-")
