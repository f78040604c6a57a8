"""What the pages keep beside runs: comparison files that are edited, and links to frozen comparisons."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update

from ftvp_core.store.datasets import DataSets
from ftvp_core.store.schema import drafts, shares


class Drafts(DataSets):
    def draft(self, draft_id: str) -> dict[str, Any] | None:
        with self.engine.connect() as connection:
            keys: dict[str, Any] | None = connection.execute(
                select(drafts.c.file).where(drafts.c.id == draft_id)
            ).scalar_one_or_none()
        return keys

    def newest_draft(self) -> str | None:
        with self.engine.connect() as connection:
            newest = select(drafts.c.id).order_by(drafts.c.changed_at.desc()).limit(1)
            return connection.execute(newest).scalar_one_or_none()

    def keep_draft(self, draft_id: str, keys: Mapping[str, Any]) -> None:
        with self.writing() as connection:
            values = {"file": dict(keys), "changed_at": time.time()}
            if connection.execute(update(drafts).where(drafts.c.id == draft_id).values(**values)).rowcount == 0:
                connection.execute(drafts.insert().values(id=draft_id, **values))

    def draft_run(self, draft_id: str) -> str | None:
        """The newest run that was started from a draft."""
        with self.engine.connect() as connection:
            return connection.execute(select(drafts.c.run_id).where(drafts.c.id == draft_id)).scalar_one_or_none()

    def keep_draft_run(self, draft_id: str, run_id: str) -> None:
        with self.writing() as connection:
            connection.execute(update(drafts).where(drafts.c.id == draft_id).values(run_id=run_id))

    # Shared links

    def keep_share(self, token_sha256: str, run_id: str, snapshot: str) -> None:
        with self.writing() as connection:
            connection.execute(
                shares.insert().values(
                    token_sha256=token_sha256, run_id=run_id, snapshot=snapshot, created_at=time.time()
                )
            )

    def shared_snapshot(self, token_sha256: str) -> str | None:
        """The frozen comparison behind a link's hash; None where there is none, or it was revoked."""
        live = select(shares.c.snapshot).where(shares.c.token_sha256 == token_sha256, shares.c.revoked_at.is_(None))
        with self.engine.connect() as connection:
            key = connection.execute(live).scalar_one_or_none()
        return None if key is None else self.body(key)

    def shares(self, run_id: str) -> list[Row[Any]]:
        """A run's live links, newest first."""
        live = select(shares).where(shares.c.run_id == run_id, shares.c.revoked_at.is_(None))
        with self.engine.connect() as connection:
            return list(connection.execute(live.order_by(shares.c.created_at.desc())))

    def revoke(self, token_sha256: str) -> None:
        with self.writing() as connection:
            one = update(shares).where(shares.c.token_sha256 == token_sha256)
            connection.execute(one.values(revoked_at=time.time()))
