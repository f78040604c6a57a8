"""Data sets: stored once, by their content's hash."""

import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator
from functools import partial

from sqlalchemy import select

from ftvp_core.store.base import Base
from ftvp_core.store.schema import datasets

#: Characters that are unpacked at a time.
PIECE = 1 << 16


class DataSets(Base):
    def keep(self, kind: str, name: str, n: int, body: Iterable[str]) -> str:
        """Store a data set once; its key is its content's hash. `body`: one text, or its pieces."""
        digest, packed = hashlib.sha256(), io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as to:
            for piece in [body] if isinstance(body, str) else body:
                raw = piece.encode()
                digest.update(raw)
                to.write(raw)
        key = digest.hexdigest()
        with self.writing() as connection:
            there = connection.execute(select(datasets.c.key).where(datasets.c.key == key)).one_or_none()
            if there is None:
                values = {"key": key, "kind": kind, "name": name, "n": n, "body": packed.getvalue()}
                connection.execute(datasets.insert().values(values))
        return key

    def body(self, key: str) -> str:
        return "".join(self.pieces(key))

    def pieces(self, key: str) -> Iterator[str]:
        """A data set's text in pieces, so that a large one needn't be held as a whole."""
        with self.engine.connect() as connection:
            packed = connection.execute(select(datasets.c.body).where(datasets.c.key == key)).scalar_one()
        with gzip.open(io.BytesIO(packed), "rt", encoding="utf-8", newline="") as text:
            yield from iter(partial(text.read, PIECE), "")

    def set_size(self, key: str) -> int:
        with self.engine.connect() as connection:
            size: int = connection.execute(select(datasets.c.n).where(datasets.c.key == key)).scalar_one()
        return size
