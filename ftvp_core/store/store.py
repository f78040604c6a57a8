"""The store: the only place that speaks SQL, apart from the ledger's hot path beside it.

SQLite in WAL mode with synchronous=NORMAL: a killed process loses nothing that was committed; a power cut
may lose the last commits, never the database's integrity.
"""

from ftvp_core.store.batches import Batches
from ftvp_core.store.drafts import Drafts
from ftvp_core.store.figures import Figures
from ftvp_core.store.runs import Asked, RunRow, Runs

__all__ = ["Asked", "RunRow", "Store"]


class Store(Runs, Drafts, Figures, Batches):
    """All of it, behind one name: each part is a file, by what makes it change."""
