"""Who may use the dashboard: everyone on one's own machine, holders of the access key on a host.

`FTVP_ACCESS_KEY`: pages other than a shared link ask for it. `FTVP_VIEWER_ONLY=1`: this process shows shared
links and nothing else. The check is here and not in a page: a page gets no store without it.
"""

import hmac
import os

from ftvp_core.errors import FtvpError
from ftvp_core.store.opening import open_store
from ftvp_core.store.store import Store


class AccessDenied(FtvpError):
    """The visitor may not see this. `needs_key`: the right access key would open it."""

    def __init__(self, line: str, *, needs_key: bool) -> None:
        super().__init__(line)
        self.needs_key = needs_key


def engineer_store(given_key: str | None) -> Store:
    """The whole store, for those who may run and read everything. Raises AccessDenied."""
    if os.environ.get("FTVP_VIEWER_ONLY", "") not in {"", "0"}:
        raise AccessDenied(
            "This host shows shared comparisons only. Open the link that you were sent.", needs_key=False
        )
    expected = os.environ.get("FTVP_ACCESS_KEY")
    if expected and not hmac.compare_digest((given_key or "").encode(), expected.encode()):
        wrong = "This access key is wrong." if given_key else "This dashboard asks for its access key."
        raise AccessDenied(wrong, needs_key=True)
    return open_store()


def viewer_store() -> Store:
    """The store, to be handed to `report.share.open_shared` and to nothing else."""
    return open_store()
