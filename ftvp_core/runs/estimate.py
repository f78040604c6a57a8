"""What a run may take, before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ftvp_core.candidates.prompt import sent_text
from ftvp_core.candidates.structured import prompted, repairing
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.arms import Arm, Plan
from ftvp_core.runs.searches import Searched, foreseen
from ftvp_core.tokens import BYTES_PER_TOKEN, ESTIMATE, counter
from ftvp_core.types import Usage


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may take. `counted_by` says how the tokens were counted; `batched` are calls in batches, `loading` those
    that measure the latency under load.

    `output_tokens` and `most_usd` are of answers as long as they may be; `least_usd` is what the prompts alone cost. The
    costs are None where a price isn't known. `seconds`: if each call takes one, for no provider tells beforehand; a
    batch takes up to a day.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    counted_by: str
    least_usd: Decimal | None
    most_usd: Decimal | None
    seconds: float
    batched: int = 0
    loading: int = 0
    repairs: int = 0  # calls on top, where a server has no JSON mode and its first answers are invalid
    searching: int = 0  # of the calls: embeddings and re-ranking, if nothing is there from earlier runs


def estimate(plan: Plan, arms: Sequence[Arm] | None = None) -> Estimate:
    """Calls, tokens and what they can cost, of some arms or of all; the most is with every repair that may be.

    Retries, which are billed rarely, aren't in it.
    """
    calls = tokens = answered = batched = loading = repairs = searching = 0
    seconds = 0.0
    least: Decimal | None = Decimal(0)
    most: Decimal | None = Decimal(0)
    methods: set[str] = set()
    arms = plan.arms if arms is None else arms
    for arm in arms:
        if not arm.is_remote:
            continue
        repeats = arm.repeats
        batched += arm.calls * arm.is_batched
        loading += arm.calls * (arm.concurrency is not None)
        seconds += 0 if arm.is_batched else arm.calls / (arm.concurrency or plan.spec.run.concurrency)
        counted = counter(arm.candidate.model_name)
        methods.add(counted.method)
        for example in arm.examples:
            request = arm.render(example, arm.planned)
            prompt = sent_text(request)
            calls += repeats
            read = counted.count(prompt)
            tokens += repeats * read
            answered += repeats * request.max_tokens
            sent = [prompt]
            if arm.schema is not None and not arm.is_batched:  # a batch repairs nothing
                asked = prompted(request)
                answer = "0" * BYTES_PER_TOKEN * request.max_tokens  # as long as one can be
                repair = repairing(asked, answer, "")
                sent = [sent_text(asked), sent_text(repair)]
                repairs += repeats
            if arm.price is None:
                least = most = None
            elif least is not None and most is not None:
                least += repeats * (arm.price.cost(Usage(read, 0, 0)) or 0)
                most += repeats * sum(reserve(arm.price, text, request.max_tokens) for text in sent)
    passages = [passage.text for passage in plan.sources.knowledge.passages] if plan.sources.knowledge else []
    for search, texts in foreseen([_searched(plan, arm) for arm in arms], passages):
        methods.add(ESTIMATE.method)
        calls += 1
        searching += 1
        seconds += 1 / plan.spec.run.concurrency
        read = sum(map(ESTIMATE.count, texts))
        tokens += read
        if least is None or most is None or search.price is None:
            least = most = None
        else:
            least += search.price.cost(Usage(read, 0, 0)) or 0
            most += search.most(texts)
    counted_by = ", ".join(sorted(methods))
    return Estimate(calls, tokens, answered, counted_by, least, most, seconds, batched, loading, repairs, searching)


def _searched(plan: Plan, arm: Arm) -> Searched:
    """An arm's search with all that it may be asked: its examples, and shots or training rows that it retrieves for."""
    candidate, train = arm.candidate, plan.sources.train_set
    questions = [example.input for example in arm.examples]
    if candidate.tune or (candidate.shots and candidate.shots.select == "nearest"):
        questions += [example.input for example in train.examples] if train else []
    else:
        questions += [shot.input for shot, _ in arm.planned.shots]
    return Searched(candidate.retrieval, arm.embeds, arm.reranks, questions)
