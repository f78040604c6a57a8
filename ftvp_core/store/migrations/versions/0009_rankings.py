"""What re-ranking servers answered, so that it is paid for once."""

from alembic import op
from sqlalchemy import JSON, Column, ForeignKey, Integer, String

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "rankings",
        Column("run_id", String(32), ForeignKey("runs.id"), primary_key=True),
        Column("key", String(64), primary_key=True),
        Column("scores", JSON, nullable=False),
        Column("input_tokens", Integer),
    )
    op.create_index("rankings_key", "rankings", ["key"])
