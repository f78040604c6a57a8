"""The keys of session_state, and of widgets that are named in several places. Those of the address are in `address`."""

from typing import Final

#: The access key as the visitor typed it (for this visit only).
ACCESS_KEY: Final = "access_key"
TYPED_KEY: Final = "typed_key"

#: Home.
DEMO_FINDINGS: Final = "demo_findings"

#: Candidates: the one whose form is open.
OPENED: Final = "opened"

#: Run: a setting's widget.
SETTING: Final = "setting"
NEW_LIMIT: Final = "new_limit"
FINISHED_TRAININGS: Final = "finished_trainings"

#: Compare.
BASELINE: Final = "baseline"
FIRST: Final = "first"
SECOND: Final = "second"
KIND: Final = "kind"
PAGE: Final = "page"
DIAGNOSIS: Final = "diagnosis"
CSV: Final = "csv"
EXPORTED: Final = "exported"
DISTILLED: Final = "distilled"

#: Decide.
VOLUME: Final = "volume"

#: Candidates: whose answers a student is to learn.
DISTILLING: Final = "distilling"


def of_run(key: str, run_id: str) -> str:
    """A widget's key for one run: another run begins with its own defaults."""
    return f"{key}-{run_id}"


def of_draft(key: str, draft_id: str) -> str:
    """A widget's key for one draft."""
    return f"{key}-{draft_id}"
