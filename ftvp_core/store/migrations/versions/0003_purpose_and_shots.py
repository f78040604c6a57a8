"""What an attempt is for joins its key: an example's embedding is one of its own. A result names its shots."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Integer, MetaData, String, Table, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("results", Column("shots", JSON))
    if op.get_bind().dialect.name == "sqlite":  # changes no key in place: the table is made anew, and its rows copied
        with op.batch_alter_table("attempts", copy_from=ATTEMPTS, recreate="always"):
            pass
        return
    op.drop_constraint("attempts_pkey", "attempts", type_="primary")
    op.create_primary_key("attempts_pkey", "attempts", [column.name for column in ATTEMPTS.primary_key])


ATTEMPTS = Table(
    "attempts",
    MetaData(),
    Column("run_id", String(32), ForeignKey("runs.id"), primary_key=True),
    Column("arm", Integer, primary_key=True),
    Column("example", Integer, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("purpose", String(16), primary_key=True),
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
