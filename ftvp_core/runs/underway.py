"""A run under way, in this process: what is finished, what comes next, and who watches it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ftvp_core.candidates.lookup import Lookup
from ftvp_core.errors import CallFailed
from ftvp_core.models import LocalModel
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.calls import Asking, Calls
from ftvp_core.runs.ledger import Ledger
from ftvp_core.runs.windows import Work
from ftvp_core.store.ledger import Unit
from ftvp_core.store.store import RunRow, Store
from ftvp_core.types import Example, Given


class Watching(Asking, Protocol):
    """Who watches a run: shown how far it is, too."""

    def progress(self, done: int, total: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """What a plan's arms need and what takes time to get: each arm's lookup, and its model if it is local.

    `searched_usd`: what the search for an arm's example costs, paid now or earlier; None: unknown.
    """

    lookups: Sequence[Lookup]
    open_local: Callable[[int], LocalModel]
    searched_usd: Callable[[int, Example], Decimal | None] = lambda at, example: Decimal(0)  # noqa: ARG005


class Underway:
    """What the arms' work shares."""

    def __init__(
        self,
        plan: Plan,
        opened: Opened,
        store: Store,
        row: RunRow,
        watch: Watching,
        arms: Sequence[int],
        calls: Calls,
    ) -> None:
        """`arms`: the positions of those that are worked on now."""
        self.plan = plan
        self.opened = opened
        self.store = store
        self.row = row
        self.watch = watch
        self.arms = arms
        self.calls = calls
        calls.counted = self.count
        self._finished = store.finished(row.id)
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
        works: dict[Unit, Work] = {}
        for at in dict.fromkeys(unit.arm for unit in units):
            arm = self.plan.arms[at]
            mine = [unit for unit in units if unit.arm == at]
            asked = [arm.examples[unit.example] for unit in mine]
            for unit, example, given in zip(mine, asked, self._looked_up(at, asked), strict=True):
                if isinstance(given, CallFailed):
                    works[unit] = Work(unit, arm.render(example, Given()), failure=given)
                else:
                    usd = self.opened.searched_usd(at, example)
                    works[unit] = Work(unit, arm.render(example, given), searched_usd=usd)
        return [works[unit] for unit in units]

    def _looked_up(self, at: int, asked: Sequence[Example]) -> Sequence[Given | CallFailed]:
        """What each prompt is given. Where one example's search fails, the others are looked up without it."""
        lookup = self.opened.lookups[at]
        try:
            return lookup(asked)
        except CallFailed as failure:
            if len(asked) == 1 or failure.stops is not None:
                return [failure for _ in asked]
        return [found for example in asked for found in self._looked_up(at, [example])]

    @property
    def ledger(self) -> Ledger:
        return self.calls.ledger

    @property
    def going(self) -> asyncio.Event:
        """Set unless the run is paused."""
        return self.calls.going

    def next_attempt(self, unit: Unit) -> int:
        return self.calls.next_attempt(unit)

    def count(self, results: int) -> None:
        self.done += results
        self.watch.progress(self.done, self.total)
