"""Batches at a provider, and which attempts are in them."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, String, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("attempts", Column("batch", String(32)))
    op.create_table(
        "batches",
        Column("run_id", String(32), ForeignKey("runs.id"), primary_key=True),
        Column("key", String(32), primary_key=True),
        Column("model", Text, nullable=False),
        Column("remote_id", Text),
        Column("state", String(16), nullable=False),
        Column("requests", Integer, nullable=False),
        Column("completed", Integer, nullable=False),
        Column("failed", Integer, nullable=False),
        Column("settled", Boolean, nullable=False),
        Column("planned_at", Float, nullable=False),
    )
