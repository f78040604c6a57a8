"""What came of a batch, written to the ledger: each request's outcome, and its row's result where it has one now."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal

from ftvp_core.errors import CallFailed, SchemaRefused
from ftvp_core.models.openai_batches import RemoteBatch
from ftvp_core.runs.cached import cache_key, keyed, mode_key
from ftvp_core.runs.calls import Settled
from ftvp_core.runs.json_modes import Asked, JsonModes
from ftvp_core.runs.result_rows import answered, failed, failed_outcome
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Work
from ftvp_core.store.batches import BatchRow
from ftvp_core.store.ledger import Intent, Outcome, ResultRow, Unit
from ftvp_core.types import Answer

#: Batches that a row may be in before it is failed: each can take a day.
TRIES = 3

Answers = Mapping[str, Answer | CallFailed]


class NotBegun(CallFailed):
    """A request of a batch that was refused as a whole: it is asked again, and was no try."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, outcome="refused", retry=True)


class Outcomes:
    """Reads one model's ended batches into the ledger."""

    def __init__(
        self, run: Underway, identities: Mapping[int, str], modes: JsonModes, stop: Callable[[CallFailed], None]
    ) -> None:
        """`identities`: the model's, by the arms that ask it; `modes` is told how it answers where it is asked for JSON,
        `stop` what stops the model or its provider."""
        self._run = run
        self._identities = identities
        self._modes = modes
        self._stop = stop
        self._tries = Counter[Unit]()

    async def settle(self, batch: BatchRow, answers: Answers, missing: CallFailed) -> list[Unit]:
        """Write what came of all that is still open in a batch; returns what is to be asked again.

        It may be killed in between: what is written then isn't open any more.
        """
        again: list[Unit] = []
        intents = await asyncio.to_thread(self._run.store.batch_intents, batch)
        for at in range(0, len(intents), WINDOW):
            chunk = intents[at : at + WINDOW]
            works = await asyncio.to_thread(keyed, self._run, [one.unit for one in chunk], self._identities)
            came = Settled()
            for work, intent in zip(works, chunk, strict=True):
                asked: Asked = "prompted" if custom_id(intent.unit, intent.attempt, "prompted") in answers else "native"
                said = answers.get(custom_id(intent.unit, intent.attempt, asked), missing)
                outcome, row = self._outcome(work, intent, said, asked)
                came.entries += [outcome, row] if row else [outcome]
                if row is None and (isinstance(said, Answer) or said.stops is None):
                    again.append(work.unit)
            await self._run.calls.write(came)
        await asyncio.to_thread(self._run.store.change_batch, batch, settled=True)
        return again

    def _outcome(
        self, work: Work, intent: Intent, said: Answer | CallFailed, asked: Asked
    ) -> tuple[Outcome, ResultRow | None]:
        """The attempt's outcome, and the row's result where it has one now."""
        arm = self._run.plan.arms[work.unit.arm]
        if isinstance(said, Answer):
            cost = arm.price.cost(said.usage) if arm.price else None
            return Outcome(intent, "answered", said.usage, cost), self._row(work, said, cost, asked)
        outcome = failed_outcome(intent, said, arm)
        if isinstance(said, SchemaRefused) and arm.schema is not None and asked == "native":
            self._modes.refused(mode_key(arm, self._identities[work.unit.arm]))
            return outcome, None
        if said.stops is not None:
            self._stop(said)
            return outcome, None
        if said.outcome == "unsent" or isinstance(said, NotBegun):
            return outcome, None
        self._tries[work.unit] += 1
        if said.retry and self._tries[work.unit] < TRIES:
            return outcome, None
        return outcome, failed(work, str(said), transient=said.retry)

    def _row(self, work: Work, answer: Answer, cost: Decimal | None, asked: Asked) -> ResultRow | None:
        """None where the schema was to be held and wasn't: the row is asked again with the schema in its prompt."""
        arm, identity = self._run.plan.arms[work.unit.arm], self._identities[work.unit.arm]
        if arm.schema is None:
            return answered(self._run.plan, work, answer, cost)
        key = mode_key(arm, identity)
        if asked == "prompted":  # which an earlier process may have found out
            self._modes.refused(key)
        elif not self._modes.is_held(key, arm.schema, answer):
            return None
        if work.cache_key is not None:
            work.cache_key = cache_key(identity, work.request, work.unit.repeat, asked)
        return answered(self._run.plan, work, answer, cost, asked)


def custom_id(unit: Unit, attempt: int, asked: Asked = "native") -> str:
    """An attempt's name in its batch's files. It tells whoever reads the answer how JSON was asked for."""
    return "-".join(map(str, (*unit, attempt, *(["prompted"] if asked == "prompted" else []))))


def missing(remote: RemoteBatch, answers: Answers) -> CallFailed:
    """What is to be said of a request without a line: not run, where all that was completed is there."""
    if remote.state == "failed":
        return NotBegun(f"its batch {remote.id} failed: {remote.cause or 'its provider names no cause'}")
    came = sum(isinstance(one, Answer) for one in answers.values())
    if remote.state != "completed" and remote.completed is not None and came >= remote.completed:
        said = f"its batch was {remote.state} before it was answered"
        return CallFailed(said, outcome="refused", retry=True)
    return CallFailed("the batch's answers have no line for it", outcome="unknown", retry=True)
