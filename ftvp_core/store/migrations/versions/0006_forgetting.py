"""A run may ask what a tuned model has forgotten, on a set of its own; a tuned model can be had merged."""

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, String, Text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("runs", Column("forgetting_set", String(64)))
    op.create_table(
        "exports",
        Column("run_id", String(32), ForeignKey("runs.id"), primary_key=True),
        Column("candidate", Text, primary_key=True),
        Column("asked_at", Float, nullable=False),
        Column("owner", Text),
        Column("path", Text),
        Column("error", Text),
    )
