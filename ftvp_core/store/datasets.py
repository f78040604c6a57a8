"""Data sets: stored once, by their content's hash."""

import gzip
import hashlib

from sqlalchemy import select

from ftvp_core.store.base import Base
from ftvp_core.store.schema import datasets


class DataSets(Base):
    def keep(self, kind: str, name: str, n: int, body: str) -> str:
        """Store a data set once; its key is its content's hash."""
        raw = body.encode()
        key = hashlib.sha256(raw).hexdigest()
        with self.writing() as connection:
            there = connection.execute(select(datasets.c.key).where(datasets.c.key == key)).one_or_none()
            if there is None:
                packed = gzip.compress(raw, compresslevel=1, mtime=0)
                connection.execute(datasets.insert().values(key=key, kind=kind, name=name, n=n, body=packed))
        return key

    def body(self, key: str) -> str:
        with self.engine.connect() as connection:
            packed = connection.execute(select(datasets.c.body).where(datasets.c.key == key)).scalar_one()
        return gzip.decompress(packed).decode()

    def set_size(self, key: str) -> int:
        with self.engine.connect() as connection:
            size: int = connection.execute(select(datasets.c.n).where(datasets.c.key == key)).scalar_one()
        return size
