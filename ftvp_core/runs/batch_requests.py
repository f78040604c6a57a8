"""What a model is still to be asked, cut into files of requests: each as large as a batch and the budget may be."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import IO

from ftvp_core.candidates.prompt import sent_text
from ftvp_core.candidates.structured import prompted
from ftvp_core.errors import RunStopped
from ftvp_core.models.openai_batches import MOST_BYTES, MOST_REQUESTS, request_line
from ftvp_core.pricing.prices import reserve
from ftvp_core.runs.batch_outcomes import custom_id
from ftvp_core.runs.cached import mode_key, window
from ftvp_core.runs.calls import Settled
from ftvp_core.runs.json_modes import Asked, JsonModes
from ftvp_core.runs.result_rows import failed
from ftvp_core.runs.underway import Underway
from ftvp_core.runs.windows import WINDOW, Work
from ftvp_core.store.batches import BatchRow
from ftvp_core.store.ledger import Intent, Unit
from ftvp_core.types import Request


class Requests:
    """The requests to one model that no batch holds yet.

    `most_requests`: of one batch. `no_room`: the budget has none for the next request. `stopped`: why none can be
    made any more.
    """

    def __init__(
        self, run: Underway, name: str, base_url: str, identities: Mapping[int, str], modes: JsonModes
    ) -> None:
        """`name`: `provider/model`; `identities`: the model's, by the arms that ask it; `modes`: how it is asked for JSON."""
        self.most_requests = MOST_REQUESTS
        self.no_room = False
        self.stopped: RunStopped | None = None
        self._run = run
        self._name = name
        self._base_url = base_url
        self._identities = identities
        self._modes = modes
        self._units: deque[Unit] = deque()

    def __bool__(self) -> bool:
        return bool(self._units)

    @property
    def is_ready(self) -> bool:
        """Whether there is one to be sent now."""
        return bool(self._units) and not self.no_room and self.stopped is None

    def add(self, units: Iterable[Unit]) -> None:
        """To be asked, after all that waits already."""
        self._units.extend(units)

    async def fill(self, lines: IO[bytes]) -> BatchRow | None:
        """Commit the intents of a batch and write their lines; None where nothing is to be sent."""
        run, batch, requests, size, is_full = self._run, None, 0, 0, False
        while self.is_ready and not is_full:
            units = [self._units.popleft() for _ in range(min(WINDOW, len(self._units), self.most_requests - requests))]
            try:
                found = await asyncio.to_thread(window, run, units, self._identities, self._modes)
            except RunStopped as stop:  # of a search: what is in the batch by then is sent
                self._units.extendleft(reversed(units))
                self.stopped = stop
                break
            await run.calls.write(Settled([*found.known]))
            ready: list[tuple[Work, bytes]] = []
            for at, work in enumerate(found.works):
                line = self._line(work)
                if len(line) > MOST_BYTES:
                    too_large = failed(work, "larger than a batch may be", transient=False)
                    await run.calls.write(Settled([too_large]))
                elif size + len(line) > MOST_BYTES:
                    self._units.extendleft(late.unit for late in reversed(found.works[at:]))
                    is_full = True
                    break
                else:
                    size += len(line)
                    ready.append((work, line))
            if ready and batch is None:
                batch = await asyncio.to_thread(run.store.plan_batch, run.row.id, self._name)
            if batch is not None and ready:
                requests += await self._intend(batch, ready, lines)
            is_full = is_full or requests >= self.most_requests
        if batch is None:
            return None
        done = requests == 0  # there was no room in the budget for a single one
        batch = await asyncio.to_thread(run.store.change_batch, batch, requests=requests, settled=done)
        return None if done else batch

    async def _intend(self, batch: BatchRow, ready: Sequence[tuple[Work, bytes]], lines: IO[bytes]) -> int:
        """Commit the intents; those that find no budget are left to be asked later. Returns how many found it."""
        intents = [
            Intent(work.unit, self._next(work), self._most(work), time.time(), batch=batch.key) for work, _ in ready
        ]
        calls = self._run.calls
        calls.hold(len(intents))  # before they are written: who finds no budget then has something to wait for
        holds = await calls.ledger.write(*intents)
        lines.writelines(line for (_, line), fits in zip(ready, holds, strict=True) if fits)
        late = [work.unit for (work, _), fits in zip(ready, holds, strict=True) if not fits]
        calls.let_go(len(late))
        self._units.extendleft(reversed(late))
        self.no_room = bool(late)
        return sum(holds)

    def _line(self, work: Work) -> bytes:
        model, asked = self._name.partition("/")[2], self._asked(work)
        return request_line(custom_id(work.unit, self._next(work), asked), self._base_url, model, self._request(work))

    def _asked(self, work: Work) -> Asked:
        arm, identity = self._run.plan.arms[work.unit.arm], self._identities[work.unit.arm]
        return "native" if arm.schema is None else self._modes.possible(mode_key(arm, identity))[0]

    def _request(self, work: Work) -> Request:
        return prompted(work.request) if self._asked(work) == "prompted" else work.request

    def _next(self, work: Work) -> int:
        return self._run.next_attempt(work.unit)

    def _most(self, work: Work) -> Decimal:
        price, request = self._run.plan.arms[work.unit.arm].price, self._request(work)
        return reserve(price, sent_text(request), request.max_tokens) if price else Decimal(0)
