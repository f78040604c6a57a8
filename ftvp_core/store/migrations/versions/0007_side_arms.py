"""A run says what it asks beside its comparison: a teacher's labels."""

from alembic import op
from sqlalchemy import JSON, Column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", Column("sides", JSON))
    op.add_column("tunings", Column("labels", JSON))
