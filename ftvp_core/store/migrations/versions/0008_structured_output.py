"""A result says whether its answer is valid by its candidate's output schema, and how it came to be JSON."""

from alembic import op
from sqlalchemy import Boolean, Column, String

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("results", Column("valid", Boolean))
    op.add_column("results", Column("json_mode", String(16)))
