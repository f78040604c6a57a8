"""The nouns of the product, frozen. Text is text: no cell is ever read as a number or as missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

#: The most that a limit, an hour or a million tokens can cost: the store counts whole pico-dollars in 64 bits.
MOST_USD = 1_000_000

Role = Literal["system", "user", "assistant"]

#: How a candidate gets its answers; derived from its keys, never given.
Method = Literal["prompt", "few-shot", "rag", "fine-tuned", "fine-tuned+rag", "floor", "recorded"]


class Message(NamedTuple):
    role: Role
    content: str


#: The name of a row's last assertion that says which mean of the others passes; without it all must pass.
ROW_THRESHOLD = "threshold"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a row itself asks of its answer, such as promptfoo's `not-contains(0.5):text`.

    `name` is the kind without its `not-`; a kind that no grader has can't be run, and its row is ungraded.
    """

    name: str
    value: Any = None
    threshold: float | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `references` may be empty (nothing to grade against) or several (any will do).

    `input` is the last thing that was asked; a conversation's turns before it are `history`, without the system
    prompt. `assertions`, where there are any, are graded instead of the comparison's graders. `recorded` is an
    answer that the file already holds: never a reference.
    """

    id: str
    input: str
    references: tuple[str, ...]
    columns: Mapping[str, str]
    group: str | None = None
    tags: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    system: str | None = None
    history: tuple[Message, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    recorded: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which column plays which part."""

    input: str
    reference: str | None = None
    id: str | None = None
    group: str | None = None
    gold: str | None = None
    tags: str | None = None


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """An eval set or a training set. `sha256` is of the file's bytes, as `sha256sum` prints it."""

    name: str
    sha256: str
    format: str
    encoding: str
    mapping: Mapped
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; None where the server didn't say. `input` includes `cached_input`."""

    input: int | None = None
    cached_input: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of Knowledge. `source` is the path of its file inside the knowledge's folder."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What retrieval searches. `sha256` is of all passages' content; `empty` are the sources that gave no text."""

    name: str
    sha256: str
    passages: tuple[Passage, ...]
    empty: tuple[str, ...] = ()


class Given(NamedTuple):
    """What was looked up for one example: passages, and shots with the passages of each."""

    passages: tuple[Passage, ...] = ()
    shots: tuple[tuple[Example, tuple[Passage, ...]], ...] = ()


#: Nothing is known of what a request used.
NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked: one example, rendered by one candidate."""

    example: Example
    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    output_schema: Mapping[str, Any] | None = None
    passages: tuple[Passage, ...] = ()
    shots: tuple[tuple[Example, tuple[Passage, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    `latency_s` is this request alone, without queue and back-off; None where it wasn't measured (a
    request answered inside a batch). `machine_s` is the local machine's time that it took.
    """

    output: str
    usage: Usage = NO_USAGE
    latency_s: float | None = None
    ttft_s: float | None = None
    machine_s: float | None = None
    finish_reason: str | None = None
    cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """`value` in [0, 1], or None with the reason why the answer couldn't be graded."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over all billed attempts; None where no attempt reported usage."""

    input: int | None
    cached_input: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Over the examples that name gold passages; k is the candidate's top_k."""

    hit_at_k: Measured
    recall_at_k: Measured
    mrr: Measured
    ndcg: Measured


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a candidate's repeats lie apart: the accuracy of each, and their range and standard deviation.

    `agreement`: of two answers to one example, how often they have the same grade. `flipped`: the share of examples
    whose answers don't all have the same grade. None where no example has two graded answers.
    """

    accuracies: tuple[float, ...]
    min: float
    max: float
    sd: float | None
    agreement: float | None
    flipped: float | None


#: What retrieval had to do with an answer: of the four, only the first is for a better search to mend.
Diagnosis = Literal["not retrieved", "retrieved, answered wrong", "right without it", "retrieved, answered right"]
DIAGNOSES: tuple[Diagnosis, ...] = get_args(Diagnosis)

#: How an answer came to be JSON: the server's own mode; a schema in the prompt, without and with a repair; tokens
#: that were held to the schema on this machine.
JsonMode = Literal["native", "prompted", "repaired", "constrained"]

Verdict = Literal["better", "worse", "equivalent", "not decided"]


@dataclass(frozen=True, slots=True)
class ValidOutput:
    """The share of answers that are JSON and valid by the candidate's output schema, of `n` answers.

    `modes`: how many of them came to be in each way; answers that were given (recorded, a floor's) in none.
    """

    value: float
    interval: Interval
    n: int
    modes: Mapping[JsonMode, int]


@dataclass(frozen=True, slots=True)
class CandidateFigures:
    """One candidate of a Comparison. `n = n_scored + n_failed + n_ungraded`.

    `tokens` and `cost_usd` are of the candidate's own answers, as billed by this run. What it takes to make a tuned one
    is in `training_cost_usd`, whoever paid for it and when: the machine's time and, for a student, its teacher's labels.
    So no dollar is in both. The labels' attempts are the student's `other_attempts`.
    """

    name: str
    method: Method
    model: str | None
    n: int
    n_scored: int
    n_failed: int
    n_ungraded: int
    accuracy: float | None
    interval: Interval | None
    latency_s: Quantiles | None
    ttft_s: Quantiles | None
    tokens: Tokens
    attempts: int
    other_attempts: int
    attempts_cost_unknown: int
    cost_usd: Decimal | None
    cost_per_1k_usd: Decimal | None
    training_cost_usd: Decimal | None
    retrieval: RetrievalFigures | None = None
    valid_output: ValidOutput | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    batch: bool = False  # answered in batches: its latency isn't measured
    spread: Spread | None = None  # over the repeats, where there are several


@dataclass(frozen=True, slots=True)
class PairFigures:
    """`difference` = accuracy of a − accuracy of b over the `n` examples that both were scored on."""

    a: str
    b: str
    n: int
    difference: float | None
    interval: Interval | None
    p_value: float | None
    p_adjusted: float | None
    verdict: Verdict
    a_only: int
    b_only: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One value. With several seeds the figures are over all of them, and `by_seed` has each one's accuracy."""

    value: float
    figures: CandidateFigures
    by_seed: tuple[float | None, ...] = ()


class FitBand(NamedTuple):
    """A fitted learning curve at so many rows, with its 95 % interval."""

    rows: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningFit:
    """accuracy(n) = a − b·n^(−c). `trainings`: the fewest at any size.

    `more_rows` are those that bring two points more, and `more_rows_low`, `more_rows_high` its interval's ends; None
    where so many lie too far beyond what was tried. `gain_of_twice`: what twice as many rows bring. `off`: how far the
    farthest size lies from the curve, where that is more than its own interval explains.
    """

    verdict: Literal["rises", "flattened", "not decided", "too few points"]
    trainings: int
    a: float | None = None
    b: float | None = None
    c: float | None = None
    more_rows: float | None = None
    more_rows_low: float | None = None
    more_rows_high: float | None = None
    gain_of_twice: Interval | None = None
    off: float | None = None
    band: tuple[FitBand, ...] = ()


@dataclass(frozen=True, slots=True)
class BesideFloor:
    """A curve's point minus a floor's on the same number of rows, over the examples that both were scored on."""

    floor: str
    value: float
    n: int
    difference: float
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Curve:
    """A sweep. `fit`: where it is over training rows. `best`: where it isn't, the value of the most accurate point, and
    `corrected` its accuracy without the luck of having been chosen on these rows."""

    candidate: str
    over: str
    points: tuple[CurvePoint, ...]
    fit: LearningFit | None = None
    beside_floor: tuple[BesideFloor, ...] = ()
    best: float | None = None
    corrected: Measured | None = None


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
class LoadPoint:
    """A server's candidate with so many calls in flight: `n` answered calls, and `failed` ones; answers a second."""

    concurrency: int
    n: int
    failed: int
    latency_s: Quantiles | None
    per_s: float | None


@dataclass(frozen=True, slots=True)
class LoadCurve:
    candidate: str
    method: Method
    points: tuple[LoadPoint, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    tag: str
    candidates: tuple[CandidateFigures, ...]
    pairs: tuple[PairFigures, ...]


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


@dataclass(frozen=True, slots=True)
class Comparison:
    candidates: tuple[CandidateFigures, ...]
    pairs: tuple[PairFigures, ...]
    slices: tuple[Slice, ...] = ()
    curves: tuple[Curve, ...] = ()
    load: tuple[LoadCurve, ...] = ()
    tunes: tuple[Tuned, ...] = ()
    distillations: tuple[Distillation, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check of the data found. `rows` count from 1, the header not counted.

    `part` says of which set the rows are. `pairs` shows rows beside what they repeat: an earlier row of their own
    set, or a training row for a leak.
    """

    id: str
    severity: Literal["error", "warning", "info"]
    count: int
    rows: tuple[int, ...]
    message: str
    part: Literal["eval", "train"] = "eval"
    pairs: tuple[tuple[int, int], ...] = ()
