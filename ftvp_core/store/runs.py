"""Runs and who works on them: made, leased, heard from, paused, ended."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Float, Row, bindparam, delete, func, select, update

from ftvp_core.errors import LeaseLost, UserError
from ftvp_core.store.base import Base
from ftvp_core.store.owner import is_dead, owner
from ftvp_core.store.schema import results, runs, tunings

#: A run whose process hasn't beaten for this long is interrupted.
BEAT_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the store knows it. `state` is seen from outside: a dead process's run is interrupted."""

    id: str
    name: str
    state: str
    cause: str | None
    spec: str
    folder: str
    eval_set: str
    train_set: str | None
    recorded: Mapping[str, str]
    versions: Mapping[str, str]
    created_at: float
    finished_at: float | None
    limit_usd: Decimal | None
    spent_usd: Decimal
    reserved_usd: Decimal
    knowledge: str | None
    enqueued: bool
    cancel: bool
    progress: Mapping[str, Any] | None
    pause: bool
    lag_s: float | None
    forgetting_set: str | None
    sides: Sequence[Mapping[str, Any]] | None


class Listed(NamedTuple):
    """What a list shows of a run."""

    id: str
    state: str
    name: str


class Asked(NamedTuple):
    """What others ask of the process that works on a run."""

    cancel: bool
    pause: bool


# Made once: building it anew twice a second took longer than running it.
_BEAT = (
    update(runs)
    .where(runs.c.id == bindparam("b_run"), runs.c.owner == bindparam("b_owner"))
    .values(
        beat_at=bindparam("at"),
        progress=bindparam("said"),
        lag_s=func.coalesce(bindparam("lag", type_=Float), runs.c.lag_s),
    )
    .returning(runs.c.cancel, runs.c.pause)
)


class Runs(Base):
    def create_run(
        self,
        *,
        name: str,
        spec: str,
        folder: str,
        eval_set: str,
        train_set: str | None,
        knowledge: str | None,
        recorded: Mapping[str, str],
        versions: Mapping[str, str],
        limit_usd: Decimal | None,
        request_key: str | None = None,
        forgetting_set: str | None = None,
        sides: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """A new queued run; its id sorts by time. A `request_key` that is there already gives its run.

        A run with a key was asked for by a page: a worker takes it. One without is its own process's.
        """
        now = time.time()
        run_id = f"{time.strftime('%y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"
        with self.writing() as connection:
            if request_key is not None:
                asked = select(runs.c.id).where(runs.c.request_key == request_key)
                there = connection.execute(asked).scalar_one_or_none()
                if there is not None:
                    return str(there)
            connection.execute(
                runs.insert().values(
                    id=run_id,
                    name=name,
                    state="queued",
                    spec=spec,
                    folder=folder,
                    eval_set=eval_set,
                    train_set=train_set,
                    forgetting_set=forgetting_set,
                    knowledge=knowledge,
                    recorded=dict(recorded),
                    versions=dict(versions),
                    created_at=now,
                    limit_usd=limit_usd,
                    spent_usd=Decimal(0),
                    reserved_usd=Decimal(0),
                    enqueued=request_key is not None,
                    request_key=request_key,
                    cancel=False,
                    sides=list(sides),
                )
            )
        return run_id

    def run(self, run_id: str) -> RunRow:
        """One run. Raises UserError."""
        with self.engine.connect() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
        if row is None:
            raise UserError(f"run {run_id}", "is not in the store", "list them with: python -m ftvp_core runs")
        return _run_row(row)

    def runs(self, limit: int | None = None, *, name: str | None = None, folder: str | None = None) -> list[RunRow]:
        """Newest first; of this name and this folder alone, where they are given."""
        newest = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        if name is not None:
            newest = newest.where(runs.c.name == name)
        if folder is not None:
            newest = newest.where(runs.c.folder == folder)
        with self.engine.connect() as connection:
            return [_run_row(row) for row in connection.execute(newest)]

    def listed(self) -> list[Listed]:
        """Every run, newest first, without its file and whatever else it was made of."""
        columns = select(runs.c.id, runs.c.name, runs.c.state, runs.c.owner, runs.c.beat_at)
        with self.engine.connect() as connection:
            newest = connection.execute(columns.order_by(runs.c.created_at.desc(), runs.c.id.desc()))
            return [Listed(row.id, _state(row), row.name) for row in newest]

    def count_runs(self) -> int:
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(runs)).scalar_one()

    def lease(self, run_id: str) -> None:
        """Take a queued or interrupted run for this process. Raises UserError where another was quicker."""
        with self.writing() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one()
            if row.state == "running" and _state(row) == "running" and row.owner != owner():
                raise UserError(
                    f"run {run_id}", f"is being worked on by process {row.owner}", "wait for it, or stop it"
                )
            if row.state not in {"queued", "running"}:
                raise UserError(f"run {run_id}", f"is {row.state}", "go on with it first")
            connection.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(state="running", cause=None, owner=owner(), beat_at=time.time(), cancel=False)
            )

    def next_job(self) -> str | None:
        """The oldest enqueued run that nobody works on: queued, or left by a process that ended."""
        oldest = (
            select(runs)
            .where(runs.c.enqueued, runs.c.state.in_(("queued", "running")), ~runs.c.cancel)
            .order_by(runs.c.created_at)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(oldest).all()
        return next((str(row.id) for row in rows if _state(row) in {"queued", "interrupted"}), None)

    def beat(self, run_id: str, progress: Mapping[str, Any], lag_s: float | None = None) -> Asked:
        """Say that the run's process lives, how far it is, and its event loop's lag, if it is measured by now.

        Returns what others ask of it. Raises LeaseLost.
        """
        said = {"b_run": run_id, "b_owner": owner(), "at": time.time(), "said": dict(progress), "lag": lag_s}
        with self.writing(alone=False) as connection:
            asked = connection.execute(_BEAT, said).one_or_none()
            if asked is None:
                raise LeaseLost(run_id)
            return Asked(cancel=asked.cancel, pause=asked.pause)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop. One that nobody works on is cancelled at once."""
        with self.writing() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one()
            idle = _state(row) in {"queued", "interrupted"}
            ended: dict[str, Any] = {}
            if idle:
                ended = {"state": "cancelled", "cause": "cancelled", "finished_at": time.time(), "owner": None}
            if row.state in {"queued", "running"}:
                connection.execute(update(runs).where(runs.c.id == run_id).values(cancel=True, **ended))

    def pause(self, run_id: str, *, paused: bool) -> None:
        """Ask a run to send nothing, or to go on. Its process keeps it, with whatever it has loaded."""
        with self.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(pause=paused))

    def requeue(self, run_id: str, *, enqueued: bool, failed: bool = False, limit_usd: Decimal | None = None) -> None:
        """Make a run that ended early, or was left by its process, queued again: for a worker, or for this process.

        Its rows that failed where another try may succeed are forgotten, their attempts stay in the ledger; with
        `failed` all rows that failed are, and a finished run begins again for them. Labels that a tuned student has
        learned from stay as they are. `limit_usd` is a new limit, but of no run that a process works on.
        """
        with self.writing() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one()
            if limit_usd is not None and _state(row) != "running":
                connection.execute(update(runs).where(runs.c.id == run_id).values(limit_usd=limit_usd))
            if _state(row) not in {"interrupted", "partial", "failed", "cancelled", *(("done",) if failed else ())}:
                return
            again = {"state": "queued", "cancel": False, "pause": False, "owner": None, "enqueued": enqueued}
            connection.execute(update(runs).where(runs.c.id == run_id).values(again))
            forgotten = results.c.output.is_(None) if failed else results.c.transient
            mine = (results.c.run_id == run_id) & results.c.arm.not_in(_learned(connection, row))
            connection.execute(delete(results).where(mine, forgotten))

    def finish(self, run_id: str, state: str, cause: str | None, lag_s: float | None = None) -> None:
        """The end of a run that this process works on. Raises LeaseLost."""
        with self._holding(run_id) as connection:
            one = runs.c.id == run_id
            ended = {"state": state, "cause": cause, "finished_at": time.time(), "owner": None}
            connection.execute(update(runs).where(one).values(ended | ({"lag_s": lag_s} if lag_s is not None else {})))


def _learned(connection: Connection, run: Row[Any]) -> list[int]:
    """Side arms whose labels have been learned: all of their students are tuned."""
    tuned = set(
        connection.execute(
            select(tunings.c.arm).where(tunings.c.run_id == run.id, tunings.c.seconds.is_not(None))
        ).scalars()
    )
    labelled = [(side["arm"], side["labels"]["students"]) for side in run.sides or () if side["labels"]]
    return [arm for arm, students in labelled if tuned.issuperset(students)]


def _state(row: Row[*tuple[Any, ...]]) -> str:
    if row.state != "running":
        return str(row.state)
    silent = row.beat_at is None or time.time() - row.beat_at > BEAT_LIMIT_S
    return "interrupted" if silent or is_dead(row.owner) else "running"


def _run_row(row: Row[Any]) -> RunRow:
    keys = {name: getattr(row, name) for name in RunRow.__slots__ if name != "state"}
    return RunRow(state=_state(row), **keys)
