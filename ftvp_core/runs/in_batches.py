"""Candidates whose provider answers in batches: at half the price, within a day, with no latency to measure.

A kill can't have a batch billed twice: its attempts are in the ledger before its file is sent, its key is in its
metadata, and a resume first asks the provider for a batch of that key. Where the provider can't tell, its attempts
are "sent, outcome unknown".

Rows that a provider without a JSON mode of its own answered otherwise are in the next batch with the schema in their
prompt. An answer that is invalid then stays so: a repair could take another day.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from ftvp_core.errors import CallFailed, LeaseLost, RunStopped, StoreFailed
from ftvp_core.errors import Outcome as Became
from ftvp_core.models.openai_batches import WINDOW_S, OpenAIBatches, identity
from ftvp_core.runs.arms import Arm
from ftvp_core.runs.batch_outcomes import Answers, Outcomes, missing
from ftvp_core.runs.batch_requests import Requests
from ftvp_core.runs.cached import mode_key
from ftvp_core.runs.json_modes import JsonModes
from ftvp_core.runs.patient import Patient
from ftvp_core.runs.providers import api_key, provider_of
from ftvp_core.runs.underway import Underway
from ftvp_core.store.batches import BatchRow
from ftvp_core.store.ledger import Unit

#: How often a batch is looked at: at first, and when it takes long.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 30.0
#: In place of a batch's state, while its provider can't be asked for it.
UNREACHABLE = "unreachable"
#: How long a cancelled run waits for what its batches still bring. A resume fetches what comes later.
CANCEL_WAIT_S = 20.0


class InBatches:
    """The work of a run's arms whose provider takes batches: one line of batches for each model."""

    def __init__(self, run: Underway) -> None:
        """Reads the store: what earlier processes left in batches is under way before any call is sent."""
        arms: dict[str, list[int]] = {}
        for at in run.arms:
            if run.plan.arms[at].is_batched:
                arms.setdefault(run.plan.arms[at].model or "", []).append(at)
        self._lines: list[_Line] = []
        self._lines += [_Line(run, of_model, self._settled) for of_model in arms.values()]

    async def run(self) -> None:
        """To their end, or as far as each model gets: raises the first RunStopped when all have ended."""
        stops: list[RunStopped] = []

        async def work(line: _Line) -> None:
            try:
                await line.work()
            except (LeaseLost, StoreFailed):
                raise
            except RunStopped as stop:  # the others' batches are made and paid for
                stops.append(stop)

        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(work(line))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        if stops:
            raise stops[0]

    async def cancel(self) -> None:
        """Ask the providers to end what is under way, and keep what came. Raises LeaseLost, StoreFailed."""
        await asyncio.gather(*(line.cancel() for line in self._lines))

    async def close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._lines))

    def _settled(self) -> None:
        """A batch is: what it held of the budget is there for any model's next one."""
        for line in self._lines:
            line.to_ask.no_room = False


class _Line:
    """One model's batches: made of what is unfinished, looked at until they end, and read into the ledger."""

    def __init__(self, run: Underway, arms: Sequence[int], settled: Callable[[], None]) -> None:
        """`settled` is told of each batch that is."""
        self._run = run
        self._servers = run.calls.servers
        self._arms = arms
        self._first: Arm = run.plan.arms[arms[0]]
        candidate = self._first.candidate
        provider = provider_of(candidate, run.plan.spec)
        identities = dict.fromkeys(arms, identity(provider.base_url, candidate.model_name))
        self._server = Patient(OpenAIBatches(provider.base_url, api_key(provider, f"candidate {candidate.name}")))
        modes = JsonModes()
        for at, seen in run.store.json_modes(run.row.id).items():
            if at in identities:
                modes.remember(mode_key(run.plan.arms[at], identities[at]), seen)
        self.to_ask = Requests(run, self._name, provider.base_url, identities, modes)
        self._outcomes = Outcomes(run, identities, modes, self._stop)
        self._settled = settled
        self._queue_was_full = False
        self._alone: set[str] = set()  # batches that were made while none of the model's was open
        self._look_s = FIRST_LOOK_S
        stored = self._stored()
        self._open = [batch for batch, _ in stored]
        self._resumed = self._keys()  # batches whose end at their provider stops nothing: it was asked for
        under_way = {unit for _, units in stored for unit in units}
        run.calls.hold(len(under_way))
        self.to_ask.add(unit for unit in run.units(arms) if unit not in under_way)

    async def work(self) -> None:
        """Until all is answered, or the model is stopped and nothing is under way. Raises RunStopped."""
        for batch in tuple(self._open):
            await self._adopt(batch)
        while self._open or self.to_ask:
            while self._can_make:
                await self._make()
            if self._open:
                await asyncio.sleep(self._look_s)
                self._look_s = min(LONGEST_LOOK_S, 1.5 * self._look_s)
                for batch in tuple(self._open):
                    await self._look(batch)
            elif self._is_stopped:
                return
            elif self.to_ask.stopped:
                raise self.to_ask.stopped
            elif self.to_ask.no_room:
                await self._wait_for_room()
            elif self.to_ask:
                await self._run.going.wait()

    async def _wait_for_room(self) -> None:
        """Until another model's batch, or the last single call, is settled: each call frees too little for a batch.

        Raises RunStopped where nothing is under way.
        """
        calls, to_ask = self._run.calls, self.to_ask
        if not calls.under_way:
            limit = self._run.store.run(self._run.row.id).limit_usd
            raise RunStopped(f"the cost limit of ${limit} leaves no room for the next call of {self._name}")
        while calls.under_way and to_ask.no_room and not self._is_stopped:
            await asyncio.sleep(FIRST_LOOK_S)
        to_ask.no_room = False

    async def cancel(self) -> None:
        """Whatever the provider doesn't answer now is left for a resume."""
        self._open = [batch for batch, _ in await asyncio.to_thread(self._stored)]
        self._resumed = self._keys()
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT_S):
                for batch in tuple(self._open):
                    await self._adopt(batch)
                for batch in tuple(self._open):
                    # First in the store: a process that has lost its run doesn't end its successor's batches.
                    self._keep(await asyncio.to_thread(self._run.store.change_batch, batch, state="cancelling"))
                    with suppress(CallFailed):
                        await self._server.cancel(batch.remote_id or "")
                while self._open:
                    await asyncio.sleep(FIRST_LOOK_S)
                    for batch in tuple(self._open):
                        await self._look(batch)

    async def close(self) -> None:
        await self._server.close()

    @property
    def _name(self) -> str:
        return self._first.candidate.model or ""

    @property
    def _can_make(self) -> bool:
        has_turn = not (self._queue_was_full and self._open)
        return self.to_ask.is_ready and has_turn and self._run.going.is_set() and not self._is_stopped

    @property
    def _is_stopped(self) -> bool:
        return self._servers.is_stopped(self._first.candidate)

    def _stored(self) -> list[tuple[BatchRow, list[Unit]]]:
        """Batches that aren't settled, and whose answers in them aren't known yet.

        The model's labels for a student and its own answers are different work: each looks after its own batches.
        """
        store = self._run.store
        unsettled = [one for one in store.batches(self._run.row.id) if one.model == self._name and not one.settled]
        waiting = [(batch, [intent.unit for intent in store.batch_intents(batch)]) for batch in unsettled]
        return [(batch, units) for batch, units in waiting if {unit.arm for unit in units} <= set(self._arms)]

    def _keys(self) -> set[str]:
        return {batch.key for batch in self._open}

    def _stop(self, cause: CallFailed | str) -> None:
        is_provider = isinstance(cause, CallFailed) and cause.stops == "provider"
        name = self._first.candidate.provider if is_provider else self._first.candidate.model
        self._servers.stop(name or "", f"stopped after {cause}")
        self._run.watch.stopped(self._servers.causes)

    # Making

    async def _make(self) -> None:
        """One batch of what is to be asked, as large as a batch and the budget may be."""
        with tempfile.TemporaryFile() as lines:
            batch = await self.to_ask.fill(lines)
            if batch is None:
                return
            if not self._open:
                self._alone.add(batch.key)
            self._open.append(batch)
            self._look_s = FIRST_LOOK_S
            await self._send(batch, lines)

    async def _send(self, batch: BatchRow, lines: IO[bytes]) -> None:
        store = self._run.store
        try:
            file_id = await self._server.upload(lines)
        except CallFailed as failure:  # a file alone is no work, and bills nothing
            await self._settle(batch, {}, _stopping(failure, "unsent"))
            return
        batch = self._keep(await asyncio.to_thread(store.change_batch, batch, state="creating"))
        try:
            remote = await self._server.create(file_id, _metadata(batch), batch.planned_at)
        except CallFailed as failure:
            await self._give_up(batch, failure)
            return
        self._keep(await asyncio.to_thread(store.change_batch, batch, remote_id=remote.id, state=remote.state))

    # Looking

    async def _adopt(self, batch: BatchRow) -> None:
        """Take up a batch that an earlier process left where it may or may not have been created."""
        if batch.remote_id is not None:
            return
        if batch.state == "planned":
            await self._settle(batch, {}, CallFailed("the process ended before it was sent", outcome="unsent"))
            return
        try:
            remote = await self._server.find(_metadata(batch), batch.planned_at)
        except CallFailed as failure:
            await self._give_up(batch, failure)
            return
        if remote is None:
            await self._settle(batch, {}, CallFailed("the process ended before it was sent", outcome="unsent"))
        else:
            change = self._run.store.change_batch
            self._keep(await asyncio.to_thread(change, batch, remote_id=remote.id, state=remote.state))

    async def _look(self, batch: BatchRow) -> None:
        assert batch.remote_id is not None
        try:
            remote = await self._server.get(batch.remote_id)
            told = {"state": remote.state, "completed": remote.completed or 0, "failed": remote.failed}
            if any(getattr(batch, key) != value for key, value in told.items()):
                batch = self._keep(await asyncio.to_thread(self._run.store.change_batch, batch, **told))
            if not remote.is_ended:
                return
            answers = await self._server.answers(remote)
        except CallFailed as failure:
            if failure.stops == "model":  # there is no such batch, or no such file
                lost = CallFailed(f"its batch, or the file of its answers, is gone ({failure})", outcome="unknown")
                await self._give_up(batch, lost)
            elif failure.retry and time.time() < batch.planned_at + WINDOW_S:  # it is worked on, and paid for
                self._keep(await asyncio.to_thread(self._run.store.change_batch, batch, state=UNREACHABLE))
            else:
                await self._leave(batch, failure)
            return
        cause = missing(remote, answers)
        await self._settle(batch, answers, cause)
        if remote.queue_is_full:
            self._make_room(batch, cause)
        elif remote.state == "failed":
            self._stop(str(cause))
        if remote.state == "cancelled" and batch.key not in self._resumed:
            self._stop(f"its batch {remote.id} was cancelled at its provider")

    def _make_room(self, batch: BatchRow, cause: CallFailed) -> None:
        """The model's queue at its provider was too full for it: from here one batch at a time, smaller if need be."""
        self._queue_was_full = True
        if batch.key not in self._alone:
            return
        if batch.requests > 1:
            self.to_ask.most_requests = batch.requests // 2
        else:
            self._stop(str(cause))

    async def _give_up(self, batch: BatchRow, failure: CallFailed) -> None:
        """Go on without the model. What another look may still tell is left for a resume."""
        if failure.outcome == "unknown" and failure.retry:
            await self._leave(batch, failure)
        else:
            await self._settle(batch, {}, _stopping(failure, failure.outcome))

    async def _leave(self, batch: BatchRow, failure: CallFailed) -> None:
        left = await asyncio.to_thread(self._run.store.batch_intents, batch)
        self._run.calls.let_go(len(left))
        self._open = [one for one in self._open if one.key != batch.key]
        self._stop(failure)

    async def _settle(self, batch: BatchRow, answers: Answers, missing: CallFailed) -> None:
        self.to_ask.add(await self._outcomes.settle(batch, answers, missing))
        self._open = [one for one in self._open if one.key != batch.key]
        self._settled()

    def _keep(self, changed: BatchRow) -> BatchRow:
        self._open = [changed if one.key == changed.key else one for one in self._open]
        return changed


def _metadata(batch: BatchRow) -> dict[str, str]:
    return {"ftvp_run": batch.run_id, "ftvp_batch": batch.key}


def _stopping(failure: CallFailed, became: Became) -> CallFailed:
    """For all of a batch: its rows stay unfinished."""
    return CallFailed(str(failure), outcome=became, stops=failure.stops or "model", status=failure.status)
