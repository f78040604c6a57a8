"""The first schema. A new store isn't migrated to it: it is created whole and stamped."""

from alembic import op

from ftvp_core.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
