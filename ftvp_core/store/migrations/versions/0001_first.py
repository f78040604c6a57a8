"""The first schema, as it was. A new store isn't migrated to it: it is created whole and stamped."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())


metadata = MetaData()

Table(
    "datasets",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("cause", Text),
    Column("spec", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("eval_set", ForeignKey("datasets.key"), nullable=False),
    Column("train_set", ForeignKey("datasets.key")),
    Column("knowledge", ForeignKey("datasets.key")),
    Column("recorded", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("limit_usd", BigInteger),
    Column("spent_usd", BigInteger, nullable=False),
    Column("reserved_usd", BigInteger, nullable=False),
    Column("owner", Text),
    Column("beat_at", Float),
    Column("enqueued", Boolean, nullable=False),
    Column("request_key", String(64), unique=True),
    Column("cancel", Boolean, nullable=False),
    Column("progress", JSON),
)

Table(
    "attempts",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("example", Integer, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("cause", Text),
    Column("status", Integer),
    Column("sent_at", Float, nullable=False),
    Column("latency_s", Float),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reserve_usd", BigInteger, nullable=False),
    Column("cost_usd", BigInteger),
    sqlite_with_rowid=False,
)

Table(
    "results",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("example", Integer, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("output", Text),
    Column("error", Text),
    Column("transient", Boolean, nullable=False),
    Column("finish_reason", String(32)),
    Column("grade", Float),
    Column("ungraded", Text),
    Column("latency_s", Float),
    Column("ttft_s", Float),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("output_tokens", Integer),
    Column("request_usd", BigInteger),
    Column("from_cache", Boolean, nullable=False),
    Column("passages", JSON),
    Column("cache_key", String(64)),
    Column("at", Float, nullable=False),
    Index("results_cache_key", "cache_key", sqlite_where=text("cache_key IS NOT NULL")),
    sqlite_with_rowid=False,
)

Table(
    "drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("file", JSON, nullable=False),
    Column("run_id", ForeignKey("runs.id")),
    Column("changed_at", Float, nullable=False),
)

Table(
    "shares",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("snapshot", ForeignKey("datasets.key"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

Table(
    "tunings",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("adapter", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("seconds", Float),
    Column("cost_usd", BigInteger),
    Column("log", JSON, nullable=False),
)

Table(
    "probes",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("latency_s", JSON, nullable=False),
)
