"""A run can be paused, and says how busy the machine was that measured its latencies."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, false

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", Column("pause", Boolean, nullable=False, server_default=false()))
    op.add_column("runs", Column("lag_s", Float))
