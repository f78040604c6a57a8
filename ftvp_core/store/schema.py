"""The tables. A change here comes with a migration in `migrations/versions` and a new HEAD."""

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)

#: The newest migration: a new store is made at this state and stamped with it.
HEAD = "0009"

metadata = MetaData()

PICO = Decimal(10) ** 12


class Usd(TypeDecorator[Decimal]):
    """Money as whole pico-dollars, so that the database adds it exactly. A token's price has at most 12 decimals."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else int((value * PICO).to_integral_value(rounding="ROUND_CEILING"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(int(value)) / PICO


datasets = Table(
    "datasets",
    metadata,
    Column("key", String(64), primary_key=True),  # sha256 of the body
    Column("kind", String(16), nullable=False),  # examples | recorded | knowledge | snapshot
    Column("name", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),  # gzipped JSON
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("cause", Text),  # why it ended partial or failed
    Column("spec", Text, nullable=False),  # the comparison file
    Column("folder", Text, nullable=False),  # what its paths are relative to
    Column("eval_set", ForeignKey("datasets.key"), nullable=False),
    Column("train_set", ForeignKey("datasets.key")),
    Column("knowledge", ForeignKey("datasets.key")),
    Column("recorded", JSON, nullable=False),  # candidate -> datasets.key
    Column("versions", JSON, nullable=False),  # machine and libraries
    Column("created_at", Float, nullable=False),  # Unix seconds
    Column("finished_at", Float),
    Column("limit_usd", Usd),
    Column("spent_usd", Usd, nullable=False),
    Column("reserved_usd", Usd, nullable=False),
    Column("owner", Text),  # host:pid:start of the process that works on it
    Column("beat_at", Float),
    Column("enqueued", Boolean, nullable=False),  # a worker may take it; the command line's runs are its own
    Column("request_key", String(64), unique=True),  # the form that asked for it: a double click is one run
    Column("cancel", Boolean, nullable=False),  # someone asked to stop it
    Column("progress", JSON),  # what its process says of itself: phase, done, total, stopped
    Column("pause", Boolean, nullable=False, server_default=false()),  # someone asked to send nothing for a while
    Column("lag_s", Float),  # how late its process's own event loop was (p95), while it measured latencies
    Column("forgetting_set", String(64)),  # datasets.key
    Column("sides", JSON),  # its side arms, after all others: [{"arm", "name", "calls", "labels"}]
)

# One request as it was billed: written before it is sent, completed after.
attempts = Table(
    "attempts",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),  # position in Spec.arms(), then the side arms
    Column(
        "example", Integer, primary_key=True
    ),  # position in the eval set; a side arm's in its own examples; -1: none
    Column("repeat", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("purpose", String(16), primary_key=True),  # generation | embedding | rerank | load
    Column("state", String(16), nullable=False),  # sent | answered | refused | unknown | unsent
    Column("cause", Text),
    Column("status", Integer),  # HTTP
    Column("sent_at", Float, nullable=False),
    Column("latency_s", Float),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reserve_usd", Usd, nullable=False),
    Column("cost_usd", Usd),  # None: unknown
    Column("batch", String(32)),  # the key of the batch that it is in
    sqlite_with_rowid=False,
)

results = Table(
    "results",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("example", Integer, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("output", Text),  # None: failed
    Column("error", Text),
    Column("transient", Boolean, nullable=False),  # failed, and another try may succeed
    Column("finish_reason", String(32)),
    Column("grade", Float),
    Column("ungraded", Text),  # why there is no grade
    Column("latency_s", Float),
    Column("ttft_s", Float),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer),
    Column("request_usd", Usd),  # what the request costs, cached or not
    Column("from_cache", Boolean, nullable=False),
    Column("passages", JSON(none_as_null=True)),  # ids of the passages in the prompt, the best first
    Column("cache_key", String(64)),
    Column("at", Float, nullable=False),
    Column("shots", JSON(none_as_null=True)),  # [[id of a training row, [ids of its passages]], …], in their order
    Column("valid", Boolean),  # by the candidate's output schema; None: it has none, or there is no answer
    Column("json_mode", String(16)),  # types.JsonMode
    sqlite_with_rowid=False,
)
Index("results_cache_key", results.c.cache_key, sqlite_where=results.c.cache_key.is_not(None))

# What a server's re-ranking answered: in the transaction that settles its attempt, so that none is paid for twice.
rankings = Table(
    "rankings",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),  # who paid
    Column("key", String(64), primary_key=True),  # hash of the server's model, the question and the passages
    Column("scores", JSON, nullable=False),  # one a passage
    Column("input_tokens", Integer),  # None: its server doesn't say
)
Index("rankings_key", rankings.c.key)

# A comparison file being edited in the pages. It may be incomplete; running it makes a run of its own.
drafts = Table(
    "drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("file", JSON, nullable=False),  # its keys
    Column("run_id", ForeignKey("runs.id")),  # the newest run that was started from it
    Column("changed_at", Float, nullable=False),
)

# A link to one frozen comparison. Only the token's hash is kept: who reads the database can't open it.
shares = Table(
    "shares",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("snapshot", ForeignKey("datasets.key"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

# A tuned arm's training. Its adapter may be an earlier run's: same base, rows, prompts and settings.
tunings = Table(
    "tunings",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("adapter", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("seconds", Float),  # None: not finished
    Column("cost_usd", Usd),
    Column("log", JSON, nullable=False),  # [[step, loss], …]
    Column("about", JSON),  # what else its training says of itself: see Tuning
    Column("labels", JSON),  # what its teacher's answers came to: rows, kept, dropped, unchecked, cost_usd
)

# What a training would take, asked for by a page and measured by a worker. Its key names all that decides it.
measurements = Table(
    "measurements",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("asked", JSON, nullable=False),  # the comparison file of the one candidate
    Column("asked_at", Float, nullable=False),
    Column("owner", Text),  # host:pid:start of the process that measures
    Column("found", JSON),  # its Estimate
    Column("error", Text),
)

# A merged model that a page asked for: base and adapter in one, made by a worker.
exports = Table(
    "exports",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("candidate", Text, primary_key=True),
    Column("asked_at", Float, nullable=False),
    Column("owner", Text),  # host:pid:start of the process that makes it
    Column("path", Text),  # where it lies, complete
    Column("error", Text),
)

# Requests sent together, answered within a day. `key` is ours: it is in the batch's metadata at its provider too.
batches = Table(
    "batches",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("model", Text, nullable=False),  # provider/model
    Column("remote_id", Text),  # None: not created, or created and not heard of
    Column("state", String(16), nullable=False),  # planned | creating | then as its provider calls it
    Column("requests", Integer, nullable=False),
    Column("completed", Integer, nullable=False),  # as its provider counts them
    Column("failed", Integer, nullable=False),
    Column("settled", Boolean, nullable=False),  # all that is to be known of its attempts is in the ledger
    Column("planned_at", Float, nullable=False),
)

# A local model's latency, measured at batch 1 apart from the work.
probes = Table(
    "probes",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("latency_s", JSON, nullable=False),
)
