"""The store: the only place that speaks SQL, apart from the ledger's hot path beside it.

SQLite in WAL mode with synchronous=NORMAL: a killed process loses nothing that was committed; a power cut
may lose the last commits, never the database's integrity.
"""

import gzip
import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Row,
    case,
    cast,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from ftvp_core.errors import LeaseLost, StoreFailed, UserError
from ftvp_core.store.owner import is_dead, owner
from ftvp_core.store.schema import attempts, datasets, drafts, probes, results, runs, shares, tunings

#: A run whose process hasn't beaten for this long is interrupted.
BEAT_LIMIT_S = 30.0
#: Keys a query may name: SQLite's own limit is far higher, and speed is flat from here.
KEYS_PER_QUERY = 500


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
    sides: Sequence[Mapping[str, Any]] | None


class Asked(NamedTuple):
    """What others ask of the process that works on a run."""

    cancel: bool
    pause: bool


class Store:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, so that what it read still holds.

        Raises StoreFailed where the database can't take it, whatever it is.
        """
        try:
            with self.engine.connect() as connection:
                if self.engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        except OperationalError as error:
            raise StoreFailed(error.orig) from None

    @contextmanager
    def _holding(self, run_id: str) -> Iterator[Connection]:
        """`writing` for the process that works on the run. Raises LeaseLost when it isn't this one."""
        with self.writing() as connection:
            held_by = select(runs.c.owner).where(runs.c.id == run_id).with_for_update()
            if connection.execute(held_by).scalar_one() != owner():
                raise LeaseLost(run_id)
            yield connection

    # Runs

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

    def runs(self, limit: int | None = None) -> list[RunRow]:
        """Newest first."""
        newest = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        with self.engine.connect() as connection:
            return [_run_row(row) for row in connection.execute(newest)]

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

    def beat(self, run_id: str, progress: Mapping[str, Any]) -> Asked:
        """Say that the run's process lives, and how far it is; returns what others ask of it. Raises LeaseLost."""
        with self._holding(run_id) as connection:
            one = runs.c.id == run_id
            connection.execute(update(runs).where(one).values(beat_at=time.time(), progress=dict(progress)))
            asked = connection.execute(select(runs.c.cancel, runs.c.pause).where(one)).one()
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

    def requeue(self, run_id: str, *, enqueued: bool, failed: bool = False) -> None:
        """Make a run that ended early, or was left by its process, queued again: for a worker, or for this process.

        Its rows that failed where another try may succeed are forgotten, their attempts stay in the ledger; with
        `failed` all rows that failed are, and a finished run begins again for them. Labels that a tuned student has
        learned from stay as they are.
        """
        with self.writing() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).one()
            if _state(row) not in {"interrupted", "partial", "failed", "cancelled", *(("done",) if failed else ())}:
                return
            again = {"state": "queued", "cancel": False, "pause": False, "owner": None, "enqueued": enqueued}
            connection.execute(update(runs).where(runs.c.id == run_id).values(again))
            forgotten = results.c.output.is_(None) if failed else results.c.transient
            mine = (results.c.run_id == run_id) & results.c.arm.not_in(_learned(connection, row))
            connection.execute(delete(results).where(mine, forgotten))

    def finish(self, run_id: str, state: str, cause: str | None, lag_s: float | None = None) -> None:
        """The end of a run that this process works on. Of several lags, over resumes, the largest is kept.

        Raises LeaseLost.
        """
        with self._holding(run_id) as connection:
            one = runs.c.id == run_id
            before = connection.execute(select(runs.c.lag_s).where(one)).scalar_one()
            lag_s = max((lag for lag in (before, lag_s) if lag is not None), default=None)
            ended = {"state": state, "cause": cause, "finished_at": time.time(), "owner": None, "lag_s": lag_s}
            connection.execute(update(runs).where(one).values(ended))

    def set_limit(self, run_id: str, limit_usd: Decimal) -> None:
        with self.writing() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(limit_usd=limit_usd))

    # Data sets

    def keep(self, kind: str, name: str, n: int, body: str) -> str:
        """Store a data set once; its key is its content's hash."""
        raw = body.encode()
        key = hashlib.sha256(raw).hexdigest()
        with self.writing() as connection:
            there = connection.execute(select(datasets.c.key).where(datasets.c.key == key)).one_or_none()
            if there is None:
                packed = gzip.compress(raw, compresslevel=1, mtime=0)
                connection.execute(datasets.insert().values(key=key, kind=kind, name=name, n=n, body=packed))
        return key

    def body(self, key: str) -> str:
        with self.engine.connect() as connection:
            packed = connection.execute(select(datasets.c.body).where(datasets.c.key == key)).scalar_one()
        return gzip.decompress(packed).decode()

    def set_size(self, key: str) -> int:
        with self.engine.connect() as connection:
            size: int = connection.execute(select(datasets.c.n).where(datasets.c.key == key)).scalar_one()
        return size

    # Drafts

    def draft(self, draft_id: str) -> dict[str, Any] | None:
        with self.engine.connect() as connection:
            keys: dict[str, Any] | None = connection.execute(
                select(drafts.c.file).where(drafts.c.id == draft_id)
            ).scalar_one_or_none()
        return keys

    def newest_draft(self) -> str | None:
        with self.engine.connect() as connection:
            newest = select(drafts.c.id).order_by(drafts.c.changed_at.desc()).limit(1)
            return connection.execute(newest).scalar_one_or_none()

    def keep_draft(self, draft_id: str, keys: Mapping[str, Any]) -> None:
        with self.writing() as connection:
            values = {"file": dict(keys), "changed_at": time.time()}
            if connection.execute(update(drafts).where(drafts.c.id == draft_id).values(**values)).rowcount == 0:
                connection.execute(drafts.insert().values(id=draft_id, **values))

    def draft_run(self, draft_id: str) -> str | None:
        """The newest run that was started from a draft."""
        with self.engine.connect() as connection:
            return connection.execute(select(drafts.c.run_id).where(drafts.c.id == draft_id)).scalar_one_or_none()

    def keep_draft_run(self, draft_id: str, run_id: str) -> None:
        with self.writing() as connection:
            connection.execute(update(drafts).where(drafts.c.id == draft_id).values(run_id=run_id))

    # Shared links

    def keep_share(self, token_sha256: str, run_id: str, snapshot: str) -> None:
        with self.writing() as connection:
            connection.execute(
                shares.insert().values(
                    token_sha256=token_sha256, run_id=run_id, snapshot=snapshot, created_at=time.time()
                )
            )

    def shared_snapshot(self, token_sha256: str) -> str | None:
        """The frozen comparison behind a link's hash; None where there is none, or it was revoked."""
        live = select(shares.c.snapshot).where(shares.c.token_sha256 == token_sha256, shares.c.revoked_at.is_(None))
        with self.engine.connect() as connection:
            key = connection.execute(live).scalar_one_or_none()
        return None if key is None else self.body(key)

    def shares(self, run_id: str) -> list[Row[Any]]:
        """A run's live links, newest first."""
        live = select(shares).where(shares.c.run_id == run_id, shares.c.revoked_at.is_(None))
        with self.engine.connect() as connection:
            return list(connection.execute(live.order_by(shares.c.created_at.desc())))

    def revoke(self, token_sha256: str) -> None:
        with self.writing() as connection:
            one = update(shares).where(shares.c.token_sha256 == token_sha256)
            connection.execute(one.values(revoked_at=time.time()))

    # What a run has

    def finished(self, run_id: str) -> set[tuple[int, int, int]]:
        """(arm, example, repeat) of every result."""
        columns = select(results.c.arm, results.c.example, results.c.repeat).where(results.c.run_id == run_id)
        with self.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(columns)}

    def tried(self, run_id: str) -> dict[tuple[int, int, int], int]:
        """How many attempts each (arm, example, repeat) has had."""
        unit = (attempts.c.arm, attempts.c.example, attempts.c.repeat)
        counted = select(*unit, func.max(attempts.c.attempt)).where(attempts.c.run_id == run_id).group_by(*unit)
        with self.engine.connect() as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(counted)}

    def settle_lost_attempts(self, run_id: str) -> None:
        """Attempts that a killed process had under way: sent, outcome unknown; their reserve stays held.

        Raises LeaseLost.
        """
        with self._holding(run_id) as connection:
            connection.execute(
                update(attempts)
                .where(attempts.c.run_id == run_id, attempts.c.state == "sent")
                .values(state="unknown", cause="the process ended before the answer")
            )

    def cached(self, keys: Sequence[str], before: float) -> dict[str, Row[Any]]:
        """Answered results by cache key, from before `before` (a run's start): the oldest of each."""
        found: dict[str, Row[Any]] = {}
        with self.engine.connect() as connection:
            for at in range(0, len(keys), KEYS_PER_QUERY):
                matching = (
                    select(results)
                    .where(results.c.cache_key.in_(keys[at : at + KEYS_PER_QUERY]))
                    .where(results.c.output.is_not(None), results.c.at < before, ~results.c.from_cache)
                    .order_by(results.c.at.desc())
                )
                found.update({row.cache_key: row for row in connection.execute(matching)})
        return found

    def keep_probe(self, run_id: str, arm: int, latency_s: Sequence[float]) -> None:
        """Raises LeaseLost."""
        with self._holding(run_id) as connection:
            connection.execute(delete(probes).where(probes.c.run_id == run_id, probes.c.arm == arm))
            connection.execute(probes.insert().values(run_id=run_id, arm=arm, latency_s=list(latency_s)))

    def keep_tuning(self, run_id: str, arm: int, **values: Any) -> None:
        """Insert or update what is known of an arm's training: adapter, rows, seconds, cost_usd, log.

        Raises LeaseLost.
        """
        with self._holding(run_id) as connection:
            one = (tunings.c.run_id == run_id) & (tunings.c.arm == arm)
            if connection.execute(update(tunings).where(one).values(**values)).rowcount == 0:
                connection.execute(tunings.insert().values(run_id=run_id, arm=arm, **values))

    def tunings(self, run_id: str) -> dict[int, Row[Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(tunings).where(tunings.c.run_id == run_id))
            return {row.arm: row for row in rows}

    def probes(self, run_id: str) -> dict[int, list[float]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(probes.c.arm, probes.c.latency_s).where(probes.c.run_id == run_id))
            return {row.arm: row.latency_s for row in rows}

    def counts(self, run_id: str, since: float = 0.0) -> dict[int, Row[Any]]:
        """By arm, of its results so far: `done`, `failed`, `from_cache`; and `fresh`, asked since `since`, and the
        first of those (`fresh_at`)."""
        is_fresh = (results.c.at >= since) & ~results.c.from_cache
        counted = (
            select(
                results.c.arm,
                func.count().label("done"),
                func.sum(cast(results.c.output.is_(None), Integer)).label("failed"),
                func.sum(cast(results.c.from_cache, Integer)).label("from_cache"),
                func.sum(cast(is_fresh, Integer)).label("fresh"),
                func.min(case((is_fresh, results.c.at))).label("fresh_at"),
            )
            .where(results.c.run_id == run_id)
            .group_by(results.c.arm)
        )
        with self.engine.connect() as connection:
            return {row.arm: row for row in connection.execute(counted)}

    def attempt_counts(self, run_id: str) -> dict[int, Row[Any]]:
        """By arm: `attempts` sent, how many of them were `retries`, dollars known to be `spent` and still `reserved`."""
        open_usd = case((attempts.c.cost_usd.is_(None), attempts.c.reserve_usd))
        counted = (
            select(
                attempts.c.arm,
                func.count().label("attempts"),
                func.sum(cast(attempts.c.attempt > 1, Integer)).label("retries"),
                func.sum(attempts.c.cost_usd).label("spent"),
                func.sum(open_usd).label("reserved"),
            )
            .where(attempts.c.run_id == run_id, attempts.c.state != "unsent")
            .group_by(attempts.c.arm)
        )
        with self.engine.connect() as connection:
            return {row.arm: row for row in connection.execute(counted)}

    def failures(self, run_id: str) -> list[tuple[int, str, int]]:
        """Arms, causes of their failed attempts, and how often each came, the commonest first."""
        causes = (
            select(attempts.c.arm, attempts.c.cause, func.count())
            .where(attempts.c.run_id == run_id, attempts.c.cause.is_not(None))
            .group_by(attempts.c.arm, attempts.c.cause)
            .order_by(func.count().desc(), attempts.c.arm)
        )
        with self.engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(causes)]

    def results(self, run_id: str, *, texts: bool = True, arm: int | None = None) -> list[Row[Any]]:
        """Every result, or one arm's, by arm, example and repeat. Without `texts` the outputs stay in the database."""
        columns = [column for column in results.c if texts or column is not results.c.output]
        answered = results.c.output.is_not(None).label("answered")
        ordered = (
            select(*columns, answered)
            .where(results.c.run_id == run_id, *(() if arm is None else (results.c.arm == arm,)))
            .order_by(results.c.arm, results.c.example, results.c.repeat)
        )
        with self.engine.connect() as connection:
            return list(connection.execute(ordered))

    def ledger_sums(self, run_id: str, *, by_example: bool) -> list[Row[Any]]:
        """Sent attempts, unknown costs, known cost and billed tokens by arm (and example): the report's cost."""
        unit = (attempts.c.arm, attempts.c.example) if by_example else (attempts.c.arm,)
        sums = (
            select(
                *unit,
                func.sum(cast(attempts.c.purpose == "generation", Integer)).label("attempts"),
                func.sum(cast(attempts.c.purpose != "generation", Integer)).label("other_attempts"),
                func.sum(cast(attempts.c.cost_usd.is_(None), Integer)).label("cost_unknown"),
                func.sum(attempts.c.cost_usd).label("cost_usd"),
                func.sum(attempts.c.input_tokens).label("input"),
                func.sum(attempts.c.cached_tokens).label("cached_input"),
                func.sum(attempts.c.output_tokens).label("output"),
            )
            .where(attempts.c.run_id == run_id, attempts.c.state != "unsent")
            .group_by(*unit)
        )
        with self.engine.connect() as connection:
            return list(connection.execute(sums))


def _learned(connection: Connection, run: Row[Any]) -> list[int]:
    """Side arms whose labels have been learned: all of their students are tuned."""
    tuned = set(
        connection.execute(
            select(tunings.c.arm).where(tunings.c.run_id == run.id, tunings.c.seconds.is_not(None))
        ).scalars()
    )
    labelled = [(side["arm"], side["labels"]["students"]) for side in run.sides or () if side["labels"]]
    return [arm for arm, students in labelled if tuned.issuperset(students)]


def _state(row: Row[Any]) -> str:
    if row.state != "running":
        return str(row.state)
    silent = row.beat_at is None or time.time() - row.beat_at > BEAT_LIMIT_S
    return "interrupted" if silent or is_dead(row.owner) else "running"


def _run_row(row: Row[Any]) -> RunRow:
    keys = {name: getattr(row, name) for name in RunRow.__slots__ if name != "state"}
    return RunRow(state=_state(row), **keys)
