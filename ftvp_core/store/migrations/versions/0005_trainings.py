"""A training says more of itself, and what one would take can be measured beforehand."""

from alembic import op
from sqlalchemy import JSON, Column, Float, String, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("tunings", Column("about", JSON))
    op.create_table(
        "measurements",
        Column("key", String(64), primary_key=True),
        Column("asked", JSON, nullable=False),
        Column("asked_at", Float, nullable=False),
        Column("owner", Text),
        Column("found", JSON),
        Column("error", Text),
    )
