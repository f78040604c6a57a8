"""A run may ask what a tuned model has forgotten, on a set of its own."""

from alembic import op
from sqlalchemy import Column, String

revision = "0006"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("runs", Column("forgetting_set", String(64)))
