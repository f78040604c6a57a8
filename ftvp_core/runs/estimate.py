"""What a run may take at the most, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.candidates.prompt import sent_text
from ftvp_core.candidates.structured import prompted, repairing
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.arms import Arm, Plan
from ftvp_core.runs.searches import Searched, foreseen
from ftvp_core.tokens import ESTIMATE, counter

#: Of an answer that isn't there yet, for the estimate of its repair.
BYTES_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may take at the most. `counted_by` says how the tokens were counted; `batched` are calls in batches."""

    calls: int
    input_tokens: int
    counted_by: str
    most_usd: Decimal | None
    concurrency: int
    batched: int = 0
    repairs: int = 0  # calls on top, where a server has no JSON mode and its first answers are invalid
    searching: int = 0  # of the calls: embeddings and re-ranking, if nothing is there from earlier runs

    @property
    def seconds(self) -> float:
        """How long the calls take if each takes one second: no provider tells beforehand. A batch takes up to a day."""
        return (self.calls - self.batched) / self.concurrency


def estimate(plan: Plan, arms: Sequence[Arm] | None = None) -> Estimate:
    """Calls, input tokens and the most that they can cost, of some arms or of all, with every repair that may be.

    Retries, which are billed rarely, aren't in it.
    """
    calls = tokens = batched = repairs = searching = 0
    most: Decimal | None = Decimal(0)
    methods: set[str] = set()
    arms = plan.arms if arms is None else arms
    for arm in arms:
        if not arm.is_remote:
            continue
        repeats = arm.repeats
        counted = counter(arm.candidate.model_name)
        methods.add(counted.method)
        for example in arm.examples:
            request = arm.render(example, arm.planned)
            prompt = sent_text(request)
            calls += repeats
            batched += repeats * arm.is_batched
            tokens += repeats * counted.count(prompt)
            sent = [prompt]
            if arm.schema is not None and not arm.is_batched:  # a batch repairs nothing
                asked = prompted(request)
                repair = repairing(asked, "0" * BYTES_A_TOKEN * request.max_tokens, "")
                sent = [sent_text(asked), sent_text(repair)]
                repairs += repeats
            if arm.price is None:
                most = None
            elif most is not None:
                most += repeats * sum(reserve(arm.price, text, request.max_tokens) for text in sent)
    passages = [passage.text for passage in plan.sources.knowledge.passages] if plan.sources.knowledge else []
    for search, texts in foreseen([_searched(plan, arm) for arm in arms], passages):
        methods.add(ESTIMATE.method)
        calls += 1
        searching += 1
        tokens += sum(map(ESTIMATE.count, texts))
        most = None if most is None or search.price is None else most + search.most(texts)
    counted_by = ", ".join(sorted(methods))
    return Estimate(calls, tokens, counted_by, most, plan.spec.run.concurrency, batched, repairs, searching)


def _searched(plan: Plan, arm: Arm) -> Searched:
    """An arm's search with all that it may be asked: its examples, and shots or training rows that it retrieves for."""
    candidate, train = arm.candidate, plan.sources.train_set
    questions = [example.input for example in arm.examples]
    if candidate.tune or (candidate.shots and candidate.shots.select == "nearest"):
        questions += [example.input for example in train.examples] if train else []
    else:
        questions += [shot.input for shot, _ in arm.planned.shots]
    return Searched(candidate.retrieval, arm.embeds, arm.reranks, questions)
