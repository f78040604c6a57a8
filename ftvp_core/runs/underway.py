"""A run under way, in this process: what is finished, what comes next, and who watches it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.models import LocalModel
from ftvp_core.runs.ledger import Ledger
from ftvp_core.runs.plan import Plan
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Outcome, Unit
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import Request


class Watching(Protocol):
    """Who watches a run: shown how far it is and what was stopped; asked a few times a second what to do."""

    def progress(self, done: int, total: int, /) -> None: ...

    def stopped(self, causes: Sequence[str], /) -> None: ...

    def cancelled(self) -> bool: ...

    def paused(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What a plan's arms need and what takes time to get: each arm's lookup, and its model if it is local."""

    lookups: Sequence[Lookup]
    open_local: Callable[[int], LocalModel]


class Underway:
    """What the arms' work shares. `going` is set unless the run is paused."""

    def __init__(
        self, plan: Plan, opened: Opened, store: Store, row: RunRow, watch: Watching, arms: Sequence[int]
    ) -> None:
        """`arms`: the positions of those that are worked on now."""
        self.plan = plan
        self.opened = opened
        self.store = store
        self.row = row
        self.watch = watch
        self.arms = arms
        self.going = asyncio.Event()
        self.ledger = Ledger(store, row.id)
        self._finished = store.finished(row.id)
        self._tried = store.tried(row.id)
        self.total = sum(plan.arms[arm].calls for arm in arms)
        self.done = sum(arm in set(arms) for arm, _, _ in self._finished)
        watch.progress(self.done, self.total)

    def units(self, arms: Sequence[int]) -> Iterator[Unit]:
        """What is unfinished, the arms side by side."""
        asked = [(at, len(arm.examples), arm.repeats) for at in arms for arm in (self.plan.arms[at],)]
        for repeat in range(max((repeats for _, _, repeats in asked), default=0)):
            for example in range(max((n for _, n, _ in asked), default=0)):
                for arm, n, repeats in asked:
                    if example < n and repeat < repeats and (arm, example, repeat) not in self._finished:
                        yield Unit(arm, example, repeat)

    def works(self, units: Sequence[Unit]) -> list[Work]:
        """The units rendered, in order; what their prompts are given is looked up arm by arm, all at once."""
        requests: dict[Unit, Request] = {}
        for at in dict.fromkeys(unit.arm for unit in units):
            arm = self.plan.arms[at]
            mine = [unit for unit in units if unit.arm == at]
            asked = [arm.examples[unit.example] for unit in mine]
            for unit, example, given in zip(mine, asked, self.opened.lookups[at](asked), strict=True):
                requests[unit] = arm.render(example, given)
        return [Work(unit, requests[unit]) for unit in units]

    def next_attempt(self, unit: Unit) -> int:
        return self._tried.get(unit, 0) + 1

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """These are committed: a next attempt has the number after theirs."""
        for outcome in outcomes:
            self._tried[outcome.intent.unit] = outcome.intent.attempt

    def count(self, results: int) -> None:
        self.done += results
        self.watch.progress(self.done, self.total)
