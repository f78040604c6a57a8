"""What the index holds of passages that nobody searches any more: removed when a run with a changed knowledge ends."""

import os
from collections.abc import Iterable

from ftvp_core.candidates.chroma import SERVER
from ftvp_core.data import knowledge
from ftvp_core.spec import parse
from ftvp_core.store.opening import home
from ftvp_core.store.store import RunRow, Store

#: Reading a run's comparison takes 3 ms. What only older ones search may be removed, and is embedded again when one of
#: them goes on.
NEWEST = 200


def remove_outdated(store: Store, run_id: str) -> None:
    """Remove the vectors and texts of passages that this run's knowledge no longer has, or had before it changed again.

    A knowledge is the same while its path is. Of the newest runs, kept is what any unfinished one searches, as it may go
    on, and the newest version of every knowledge; files that haven't changed are in it. Raises UserError where the
    index's server isn't there, RunStopped where it stops answering or another process stays at work in the index.
    """
    runs = [run for run in store.runs(limit=NEWEST) if run.knowledge]
    at = next((at for at, run in enumerate(runs) if run.id == run_id), None)
    if at is None or not (os.environ.get(SERVER) or (home() / "chroma").is_dir()):
        return
    own = _named(runs[at])
    before = next((run for run in runs[at + 1 :] if run.folder == runs[at].folder and _named(run) == own), runs[at])
    after = next((run for run in runs[:at] if run.folder == runs[at].folder and _named(run) == own), runs[at])
    if before.knowledge == runs[at].knowledge == after.knowledge:
        return
    newest = {_named(run): run.knowledge for run in reversed(runs)}
    kept = {*newest.values(), *(run.knowledge for run in runs if run.state != "done")}
    gone = _texts(store, {before.knowledge, runs[at].knowledge} - kept)
    if gone and (gone := gone - _texts(store, kept)):
        from ftvp_core.candidates.index import forget

        forget(sorted(gone), home() / "chroma")


def _named(run: RunRow) -> tuple[str, str]:
    """Which knowledge a run searches, whatever is in it."""
    searched = parse(run.spec, f"run {run.id}").knowledge
    assert searched is not None
    return run.folder, str(searched.path)


def _texts(store: Store, keys: Iterable[str | None]) -> set[str]:
    return {passage.text for key in keys if key for passage in knowledge.from_json(store.body(key)).passages}
