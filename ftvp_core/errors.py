"""Every error that ftvp raises on purpose.

FtvpError
├── UserError          the user's file or setting is wrong: nothing has been sent (exit status 1)
├── RunStopped         a run ended before all of it was done; what finished is kept (exit status 2)
│   ├── LeaseLost      another process works on the run by now: this one writes nothing more
│   └── StoreFailed    the store can't be written: a full disk, a lock, a server that is gone
└── CallFailed         one call to a model gave no answer; the runner decides what follows
    └── SchemaRefused  the server takes no output schema: it can be asked for in the prompt
"""

from typing import Literal

from ftvp_core.types import NO_USAGE, Usage


class FtvpError(Exception):
    """Base. Its text is one line: what is wrong, where, what was found, what to do."""


def unexpected(error: Exception) -> str:
    """What wasn't raised on purpose, a defect of ours or of a library, in one line. Whoever says it logs all of it."""
    return " ".join(f"unexpected {type(error).__name__}: {error}".split())


class UserError(FtvpError):
    """The user's file or setting is wrong; raised before any call."""

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        """`where` names file, key, row or column; `remedy` says what to do, if that isn't plain."""
        line = f"{where}: {what}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(line.split()))


class RunStopped(FtvpError):
    """A run, or one provider's part of it, ended early. The text is the cause."""


class LeaseLost(RunStopped):
    """This process was silent for too long (suspended, a machine asleep) and its run was taken up elsewhere."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id} was taken up, or ended, by another process while this one was silent: it wrote no more"
        )


class StoreFailed(RunStopped):
    """The store can't be written. What was committed before is kept."""

    def __init__(self, cause: object) -> None:
        super().__init__(" ".join(f"the store can't be written ({cause})".split()))


#: What became of a request that brought no answer. `refused`: the server said no, nothing is billed.
#: `unknown`: sent, and what the server did with it can't be known. `unsent`: it never left.
Outcome = Literal["refused", "unknown", "unsent"]


class CallFailed(FtvpError):
    """One attempt gave no answer."""

    def __init__(
        self,
        cause: str,
        *,
        outcome: Outcome,
        retry: bool = False,
        retry_after_s: float | None = None,
        stops: Literal["provider", "model"] | None = None,
        status: int | None = None,
        latency_s: float | None = None,
        usage: Usage = NO_USAGE,
    ) -> None:
        """`retry`: another try may succeed. `stops`: none can, with this provider (key, quota) or this model.

        `usage`: what the server says it took all the same.
        """
        super().__init__(cause)
        self.outcome: Outcome = outcome
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.stops = stops
        self.status = status
        self.latency_s = latency_s
        self.usage = usage


class SchemaRefused(CallFailed):
    """The server refused the request for its output schema; nothing is billed."""

    def __init__(self, cause: str, status: int) -> None:
        super().__init__(cause, outcome="refused", status=status)
