"""What a run has: its attempts and results, its tunings and probes, and their sums."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Float, Integer, Row, case, cast, delete, func, select, update

from ftvp_core.store.base import Base
from ftvp_core.store.ledger import Ranking
from ftvp_core.store.schema import attempts, probes, rankings, results, tunings
from ftvp_core.types import JsonMode

#: What no figure is made of: texts, and what only a list of answers shows.
_TOLD = (
    results.c.output,
    results.c.ungraded,
    results.c.finish_reason,
    results.c.shots,
    results.c.cache_key,
    results.c.at,
)
#: Keys a query may name: SQLite's own limit is far higher, and speed is flat from here.
KEYS_PER_QUERY = 500
#: Results that are held at a time by who goes through them.
ROWS_AT_A_TIME = 1_000


class Figures(Base):
    def finished(self, run_id: str) -> set[tuple[int, int, int]]:
        """(arm, example, repeat) of every result."""
        columns = select(results.c.arm, results.c.example, results.c.repeat).where(results.c.run_id == run_id)
        with self.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(columns)}

    def tried(self, run_id: str) -> dict[tuple[str, int, int, int], int]:
        """The number of the newest attempt of each (purpose, arm, example, repeat), counted from 1."""
        unit = (attempts.c.purpose, attempts.c.arm, attempts.c.example, attempts.c.repeat)
        counted = select(*unit, func.max(attempts.c.attempt)).where(attempts.c.run_id == run_id).group_by(*unit)
        with self.engine.connect() as connection:
            return {(row[0], row[1], row[2], row[3]): row[4] for row in connection.execute(counted)}

    def dearer(self, run_id: str) -> dict[int, Decimal]:
        """By arm, how many times its reserve a call has cost; only of arms where one cost more."""
        ratio = func.max(cast(attempts.c.cost_usd, Float) / cast(attempts.c.reserve_usd, Float))
        above = (attempts.c.cost_usd > attempts.c.reserve_usd) & (attempts.c.reserve_usd > Decimal(0))
        of_arms = select(attempts.c.arm, ratio).where(attempts.c.run_id == run_id, above).group_by(attempts.c.arm)
        with self.engine.connect() as connection:
            return {arm: Decimal(str(most)) for arm, most in connection.execute(of_arms)}

    def settle_lost_attempts(self, run_id: str) -> None:
        """Attempts that a killed process had under way: sent, outcome unknown; their reserve stays held.

        Those in a batch aren't lost: the batch is asked for them.

        Raises LeaseLost.
        """
        with self._holding(run_id) as connection:
            connection.execute(
                update(attempts)
                .where(attempts.c.run_id == run_id, attempts.c.state == "sent", attempts.c.batch.is_(None))
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

    def cached_keys(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys under which an answer is by now, without loading it."""
        found: set[str] = set()
        with self.engine.connect() as connection:
            for at in range(0, len(keys), KEYS_PER_QUERY):
                matching = (
                    select(results.c.cache_key)
                    .where(results.c.cache_key.in_(keys[at : at + KEYS_PER_QUERY]))
                    .where(results.c.output.is_not(None), ~results.c.from_cache)
                )
                found.update(connection.execute(matching).scalars())
        return found

    def rankings(self, keys: Sequence[str], run_id: str | None) -> dict[str, Ranking]:
        """What servers' re-ranking answered, by key: of every run, or of this one alone."""
        found: dict[str, Ranking] = {}
        with self.engine.connect() as connection:
            for at in range(0, len(keys), KEYS_PER_QUERY):
                asked = select(rankings).where(rankings.c.key.in_(keys[at : at + KEYS_PER_QUERY]))
                if run_id is not None:
                    asked = asked.where(rankings.c.run_id == run_id)
                for row in connection.execute(asked):
                    found[row.key] = Ranking(row.key, row.scores, row.input_tokens)
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

    def calls(self, run_id: str, purpose: str) -> list[Row[Any]]:
        """Arm, time of sending, latency and state of the settled attempts with this purpose."""
        columns = (attempts.c.arm, attempts.c.sent_at, attempts.c.latency_s, attempts.c.state)
        settled = attempts.c.state.not_in(("sent", "unsent"))
        with self.engine.connect() as connection:
            of_run = (attempts.c.run_id == run_id) & (attempts.c.purpose == purpose) & settled
            return list(connection.execute(select(*columns).where(of_run).order_by(attempts.c.arm)))

    def answered(self, run_id: str, purpose: str, arm: int) -> set[int]:
        """The examples for which one of the arm's attempts with this purpose was answered."""
        of_it = (attempts.c.run_id == run_id) & (attempts.c.purpose == purpose) & (attempts.c.arm == arm)
        with self.engine.connect() as connection:
            return set(connection.scalars(select(attempts.c.example).where(of_it, attempts.c.state == "answered")))

    def json_modes(self, run_id: str) -> dict[int, dict[JsonMode, int]]:
        """By arm, how many of its answers came to be JSON in each way; nothing of arms without an output schema."""
        counted = (
            select(results.c.arm, results.c.json_mode, func.count())
            .where(results.c.run_id == run_id, results.c.json_mode.is_not(None))
            .group_by(results.c.arm, results.c.json_mode)
        )
        found: dict[int, dict[JsonMode, int]] = {}
        with self.engine.connect() as connection:
            for arm, mode, times in connection.execute(counted):
                found.setdefault(arm, {})[mode] = times
        return found

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

    def results(self, run_id: str, *, texts: bool = True, arm: int | None = None) -> Iterator[Row[Any]]:
        """Every result, or one arm's, by arm, example and repeat. Without `texts` only what figures are made of."""
        columns = [column for column in results.c if texts or not any(column is one for one in _TOLD)]
        answered = results.c.output.is_not(None).label("answered")
        cut = func.coalesce(results.c.finish_reason == "length", False).label("cut")
        ordered = (
            select(*columns, answered, cut)
            .where(results.c.run_id == run_id, *(() if arm is None else (results.c.arm == arm,)))
            .order_by(results.c.arm, results.c.example, results.c.repeat)
        )
        with self.engine.connect() as connection:
            found: Iterable[Row[Any]] = connection.execute(ordered, execution_options={"yield_per": ROWS_AT_A_TIME})
            yield from found

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
