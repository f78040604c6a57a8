"""The thesis as rules over a Comparison: which candidate, why, and what isn't decided.

Prompt (and retrieval) first; a candidate that takes more to build and keep is adopted only where it is shown
to be better on held-out data. Each rule says whether it fired and the figures that made it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ftvp_core.analysis.paired import examples_to_decide
from ftvp_core.decision.break_even import break_even
from ftvp_core.spec import DecideSpec
from ftvp_core.types import (
    BeforeAfter,
    CandidateFigures,
    Comparison,
    Decision,
    Finding,
    Interval,
    Method,
    PairFigures,
    RuleTrace,
    Verdict,
    Warned,
)

#: What a method takes to build and keep, the least first.
EFFORT: dict[Method, int] = {
    "recorded": 0, "floor": 0, "prompt": 1, "few-shot": 2, "rag": 3, "fine-tuned": 4, "fine-tuned+rag": 5,
}  # fmt: skip
TUNED = {"fine-tuned", "fine-tuned+rag"}
PROMPTED = {"prompt", "few-shot"}

#: Fewer scored examples than this decide nothing.
FEWEST = 10
#: A larger share of failed rows than this makes an accuracy doubtful: what failed may be what is hard.
MANY_FAILED = 0.05
#: A larger share of answers than this, cut and not right, makes an accuracy doubtful: with room they may be right.
MANY_CUT = 0.01
#: From this share of a candidate's price on, another is worth calling cheaper (and likewise faster).
MUCH_LESS = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at."""

    comparison: Comparison
    settings: DecideSpec
    findings: Sequence[Finding]
    structured: frozenset[str]  # candidates with an output schema

    def scored(self, *methods: Method) -> list[CandidateFigures]:
        """Candidates with an accuracy, the best first; of some methods, or of any."""
        found = [one for one in self.comparison.candidates if one.accuracy is not None]
        chosen = [one for one in found if not methods or one.method in methods]
        return sorted(chosen, key=lambda one: -(one.accuracy or 0.0))

    def pair(self, a: str, b: str) -> tuple[PairFigures, float, Verdict]:
        """The pair, the difference a − b, and the verdict on `a`."""
        for pair in self.comparison.pairs:
            if (pair.a, pair.b) == (a, b):
                return pair, pair.difference or 0.0, pair.verdict
            if (pair.a, pair.b) == (b, a):
                opposite: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
                return pair, -(pair.difference or 0.0), opposite.get(pair.verdict, pair.verdict)
        raise KeyError((a, b))


Rule = Callable[[Case], RuleTrace]


def decide(
    comparison: Comparison,
    settings: DecideSpec,
    findings: Sequence[Finding] = (),
    structured: frozenset[str] = frozenset(),
) -> Decision:
    """Choose, or say that nothing is decided (`choose` None)."""
    case = Case(comparison, settings, findings, structured)
    return Decision(
        choose=_choose(case),
        rules=tuple(rule(case) for rule in RULES),
        warnings=tuple(_warnings(case)),
        break_even=break_even(comparison),
    )


def _choose(case: Case) -> str | None:
    """From the least effort up: a candidate takes the place of the chosen one only if it is shown to be worth it."""
    able = [one for one in case.scored() if one.n_scored >= FEWEST]
    by_effort = sorted(
        able, key=lambda one: (EFFORT[one.method], one.cost_per_1k_usd is None, one.cost_per_1k_usd or 0)
    )
    chosen: CandidateFigures | None = None
    for one in by_effort:
        if chosen is None or _is_worth_it(case, one, chosen):
            chosen = one
    return chosen.name if chosen else None


def _is_worth_it(case: Case, one: CandidateFigures, chosen: CandidateFigures) -> bool:
    """Shown better; or shown not to be worse by more than the margin, at half the cost and no slower, or the reverse."""
    if case.pair(one.name, chosen.name)[2] == "better":
        return True
    cost, its_cost, slow, its_slow = _cost(one), _cost(chosen), _median_latency(one), _median_latency(chosen)
    cheaper, faster = _is_much_less(cost, its_cost), _is_much_less(slow, its_slow)
    slower = slow is not None and its_slow is not None and slow > its_slow
    dearer = (cost is None) != (its_cost is None) or (cost or 0.0) > (its_cost or 0.0)
    return _holds(case, one.name, chosen.name) and ((cheaper and not slower) or (faster and not dearer))


def _holds(case: Case, one: str, other: str) -> bool:
    """Whether it is shown not to be worse than the other by more than the margin."""
    pair, _, _ = case.pair(one, other)
    if pair.interval is None:
        return False
    at_worst = pair.interval.low if pair.a == one else -pair.interval.high
    return at_worst > -case.settings.margin


def _is_much_less(mine: float | None, its: float | None) -> bool:
    return mine is not None and bool(its) and mine <= MUCH_LESS * (its or 0.0)


def _prompt_reaches_target(case: Case) -> RuleTrace:
    """A good prompt is enough from the target (80 %) on."""
    best = next(iter(case.scored("prompt", "few-shot", "rag")), None)
    if best is None or best.interval is None:
        return _missing("prompt-reaches-target", "a prompt, few-shot or RAG")
    fired = best.interval.low >= case.settings.target
    return RuleTrace("prompt-reaches-target", fired, f"{_accuracy(best)}; target {_percent(case.settings.target)}")


def _below_target(case: Case) -> RuleTrace:
    """Below the target with a good prompt: a candidate for fine-tuning, if no tuned one is there yet."""
    best = next(iter(case.scored("prompt", "few-shot", "rag")), None)
    if best is None or best.interval is None:
        return _missing("fine-tuning-candidate", "a prompt, few-shot or RAG")
    sure = best.interval.high < case.settings.target
    said = "" if sure or best.interval.low >= case.settings.target else "; not decided: the interval holds the target"
    return RuleTrace("fine-tuning-candidate", sure, f"{_accuracy(best)}; target {_percent(case.settings.target)}{said}")


def _new_knowledge(case: Case) -> RuleTrace:
    """Retrieval shown better than prompting: the task needs knowledge that the model lacks."""
    needs = "RAG beside a candidate without retrieval"
    return _best_against("new-knowledge", case, ("rag", "fine-tuned+rag"), ("prompt", "few-shot", "fine-tuned"), needs)


def _style(case: Case) -> RuleTrace:
    """Fine-tuning shown better than every prompt and RAG: style or format that prompting doesn't reach."""
    needs = "a tuned candidate beside a prompt, few-shot or RAG"
    return _best_against(
        "fine-tuning-adopted", case, ("fine-tuned", "fine-tuned+rag"), ("prompt", "few-shot", "rag"), needs
    )


def _no_improvement(case: Case) -> RuleTrace:
    """Tuned, and not shown better on held-out data: no improvement, don't adopt."""
    adopted = _style(case)
    tuned = case.scored("fine-tuned", "fine-tuned+rag")
    others = case.scored("prompt", "few-shot", "rag")
    fired = bool(tuned and others) and not adopted.fired
    said = f"{adopted.evidence}; no improvement: don't adopt" if fired else adopted.evidence
    return RuleTrace("no-improvement", fired, said, adopted.applies)


def _floor_wins(case: Case) -> RuleTrace:
    """No model is shown better than a classical classifier: nothing more is worth its cost."""
    floors, models = case.scored("floor"), case.scored("prompt", "few-shot", "rag", "fine-tuned", "fine-tuned+rag")
    if not floors or not models:
        return _missing("floor-wins", "a floor beside a model")
    verdicts = [(one, *case.pair(one.name, floors[0].name)) for one in models]
    better = [one for one, _, _, said in verdicts if said == "better"]
    best, pair, difference, said = verdicts[0]
    return RuleTrace("floor-wins", not better, _versus(best.name, floors[0].name, pair, difference, said))


def _structured_output(case: Case) -> RuleTrace:
    """A fixed format reached by a schema in the request: no tuning for format.

    Reached: shown better than a prompt without, and surely valid as often as the target asks.
    """
    with_schema = [one for one in case.scored() if one.name in case.structured]
    without = [one for one in case.scored("prompt", "few-shot") if one.name not in case.structured]
    if not with_schema or not without:
        return _missing("structured-output", "an output schema beside a prompt without one")
    best = with_schema[0]
    pair, difference, said = case.pair(best.name, without[0].name)
    evidence, valid = _versus(best.name, without[0].name, pair, difference, said), best.valid_output
    if valid is not None:
        low, high = valid.interval.low, valid.interval.high
        evidence += f"; valid output {_percent(valid.value)} ({100 * low:.0f}–{100 * high:.0f}, n {valid.n})"
    reached = valid is None or valid.interval.low >= case.settings.target
    return RuleTrace("structured-output", said == "better" and reached, evidence)


def _smaller(case: Case) -> RuleTrace:
    """As good as the best and at most half as dear or as slow: distilled or smaller is enough."""
    ranked = case.scored()
    for one in ranked[1:]:
        best = ranked[0]
        pair, difference, said = case.pair(one.name, best.name)
        if said != "equivalent":
            continue
        for mine, its, beside in _prices(one, best):
            if _is_much_less(mine, its):
                evidence = _versus(one.name, best.name, pair, difference, said)
                return RuleTrace("smaller-is-enough", True, f"{evidence}; {beside}")
    return RuleTrace("smaller-is-enough", False, "no candidate is equivalent to the best at half its cost or latency")


def _distilled(case: Case) -> RuleTrace:
    """A student that holds its teacher's accuracy at half its cost or latency: latency and cost are what to distil for."""
    if not case.comparison.distillations:
        return _missing("distilled-is-enough", "a student that learned another candidate's answers")
    evidence = "the student or its teacher wasn't scored"
    by_name = {one.name: one for one in case.scored()}
    for one in case.comparison.distillations:
        student, teacher = by_name.get(one.student), by_name.get(one.teacher)
        if student is None or teacher is None:
            continue
        compared = case.pair(student.name, teacher.name)
        lines = [_versus(student.name, teacher.name, *compared)]
        saves = False
        for mine, its, beside in _prices(student, teacher):
            saves = saves or _is_much_less(mine, its)
            lines.append(beside)
        fired = saves and (compared[2] == "better" or _holds(case, student.name, teacher.name))
        evidence = "; ".join(lines)
        if fired:
            return RuleTrace("distilled-is-enough", True, evidence)
    return RuleTrace("distilled-is-enough", False, evidence)


def _undecided(case: Case) -> RuleTrace:
    """The two best can't be told apart yet, nor shown equivalent."""
    ranked = case.scored()
    if len(ranked) < 2:
        return _missing("not-decided", "two candidates that were scored")
    best, second = ranked[:2]
    pair, difference, said = case.pair(best.name, second.name)
    evidence = _versus(best.name, second.name, pair, difference, said)
    if said == "not decided" and pair.n:
        more = examples_to_decide(difference, pair.n, (pair.a_only + pair.b_only) / pair.n)
        evidence += f"; about {_rounded(more):,} examples would show it" if more else ""
    return RuleTrace("not-decided", said == "not decided", evidence)


RULES: tuple[Rule, ...] = (
    _prompt_reaches_target, _below_target, _new_knowledge, _structured_output, _style, _no_improvement,
    _smaller, _distilled, _floor_wins, _undecided,
)  # fmt: skip


#: What each rule says when it fires.
MEANING = {
    "prompt-reaches-target": "A prompt is enough: it reaches the target",
    "fine-tuning-candidate": "A good prompt stays below the target: a candidate for fine-tuning",
    "new-knowledge": "Retrieval is shown better than prompting: the task needs knowledge that the model lacks",
    "structured-output": "An output schema is shown better than a plain prompt: no tuning for a format",
    "fine-tuning-adopted": "Fine-tuning is shown better than every prompt and RAG: worth adopting over them",
    "no-improvement": "Fine-tuning shows no improvement on held-out data: don't adopt",
    "smaller-is-enough": "A cheaper or faster candidate is as good as the best: take it, or distil into it",
    "distilled-is-enough": "The distilled candidate holds its teacher's accuracy at half its cost or time: take it",
    "floor-wins": "No language model is shown better than a classical floor: it isn't worth its cost",
    "not-decided": "The two best can't be told apart yet",
}


def _warnings(case: Case) -> list[Warned]:
    found = [
        Warned(finding.id, finding.message) for finding in case.findings if finding.severity in {"error", "warning"}
    ]
    for one in case.comparison.candidates:
        if one.n_failed > MANY_FAILED * one.n:
            cause = next(iter(one.failures), "no answer")
            found.append(
                Warned(
                    "many-failed",
                    f"{one.name}: {one.n_failed} of {one.n} rows failed ({cause}); its accuracy is of the rest",
                )
            )
        if one.n_cut_wrong > MANY_CUT * one.n:
            found.append(
                Warned(
                    "cut-answers",
                    f"{one.name}: {one.n_cut:,} of {one.n:,} answers were cut at max_tokens and graded as they stand,"
                    f" {one.n_cut_wrong:,} of them not right: a higher max_tokens may make it more accurate",
                )
            )
        if one.attempts_cost_unknown and one.cost_usd is not None:
            found.append(
                Warned(
                    "cost-unknown",
                    f"{one.name}: {one.attempts_cost_unknown} attempts were sent and their cost isn't known",
                )
            )
    found += _of_tunes(case)
    methods = {one.method for one in case.comparison.candidates}
    if methods & TUNED and not methods & PROMPTED:
        found.append(Warned("fine-tuning-first", "a tuned candidate and no prompt beside it: try the prompt first"))
    return found


def _of_tunes(case: Case) -> list[Warned]:
    """What a tuned candidate can't show without its base, doesn't improve, or has forgotten."""
    found = []
    for one in case.comparison.tunes:
        if one.base is None:
            said = (
                f"{one.candidate}: its base isn't among the candidates, so what the tuning changed isn't known; add it"
            )
            found.append(Warned("no-base", said))
        elif one.change is not None and one.change.verdict != "better":
            said = f"{one.candidate} against {one.base}, its base: {_points(one.change)}: no improvement: don't adopt"
            found.append(Warned("no-improvement", said))
        if one.forgets:
            assert one.forgetting is not None
            before, after = _percent(one.forgetting.before.value), _percent(one.forgetting.after.value)
            said = (
                f"{one.candidate} forgets: on {one.forgetting_set} it is right in {after}, its base in {before}:"
                f" {_points(one.forgetting)}"
            )
            found.append(Warned("forgetting", said))
    return found


def _points(change: BeforeAfter) -> str:
    return f"{_signed(change.difference, change.interval)}, n {change.n:,}), {change.verdict}"


def _signed(difference: float, interval: Interval) -> str:
    """`−2.0 points (−3.1 to 0.4`, a bracket left open for what else is known."""
    said = f"{100 * difference:+.1f} points ({100 * interval.low:.1f} to {100 * interval.high:.1f}"
    return said.replace("-", "−")


def _missing(id_: str, needs: str) -> RuleTrace:
    """A rule that nothing here can be tried on."""
    return RuleTrace(id_, False, f"needs {needs}", applies=False)


def _best_against(
    id_: str, case: Case, these: tuple[Method, ...], those: tuple[Method, ...], needs: str
) -> RuleTrace:  # fmt: skip
    """Fired: the best of `these` is shown better than every one of `those`. `needs` says both in words."""
    best, others = next(iter(case.scored(*these)), None), case.scored(*those)
    if best is None or not others:
        return _missing(id_, needs)
    fired = all(case.pair(best.name, other.name)[2] == "better" for other in others)
    pair, difference, said = case.pair(best.name, others[0].name)
    return RuleTrace(id_, fired, _versus(best.name, others[0].name, pair, difference, said))


def _versus(a: str, b: str, pair: PairFigures, difference: float, said: Verdict) -> str:
    if pair.interval is None or pair.p_adjusted is None:
        return f"{a} against {b}: no shared examples"
    low, high = pair.interval.low, pair.interval.high
    if pair.a != a:
        low, high = -high, -low
    points = _signed(difference, Interval(low, high))
    return f"{a} against {b}: {points}, n {pair.n:,}, p {_p_value(pair.p_adjusted)}): {said}"


def _p_value(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _accuracy(one: CandidateFigures) -> str:
    assert one.accuracy is not None and one.interval is not None
    return f"{one.name}: {_percent(one.accuracy)} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f}, n {one.n_scored:,})"


def _prices(one: CandidateFigures, other: CandidateFigures) -> Iterator[tuple[float, float, str]]:
    """What both are known to take, of cost and of time, and the two in words."""
    dear, its_dear, slow, its_slow = _cost(one), _cost(other), _median_latency(one), _median_latency(other)
    if dear is not None and its_dear is not None:
        yield dear, its_dear, f"cost per 1,000 ${dear:.2g} against ${its_dear:.2g}"
    if slow is not None and its_slow is not None:
        yield slow, its_slow, f"median latency {slow:.2g} s against {its_slow:.2g} s"


def _rounded(count: int) -> int:
    """To two digits: a forecast is no more exact."""
    return round(count, 2 - len(str(count)))


def _cost(one: CandidateFigures) -> float | None:
    return None if one.cost_per_1k_usd is None else float(one.cost_per_1k_usd)


def _median_latency(one: CandidateFigures) -> float | None:
    return one.latency_s.p50 if one.latency_s else None


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
