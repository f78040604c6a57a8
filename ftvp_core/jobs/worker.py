"""The worker: takes enqueued runs one after another, and between them what pages ask to be measured or exported.

Any number may run, on any machine that reaches the store. One that is killed leaves its run interrupted; the
next one goes on with it.
"""

import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.jobs.execute import execute
from ftvp_core.jobs.export import export_next
from ftvp_core.jobs.measure import measure_next
from ftvp_core.store.store import Store

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5
AFTER_TROUBLE_S = 10.0


def work(store: Store, *, until: Callable[[], bool] = lambda: False) -> None:
    """Carry out runs until `until()` says so; it is asked between runs. A store that fails for a while is waited for."""
    while not until():
        try:
            _one(store)
        except UserError as error:  # another worker was quicker
            log.info("%s", error)
        except (RunStopped, SQLAlchemyError) as error:  # no room, no database, or another took the run up meanwhile
            log.info("%s", getattr(error, "orig", error))
            time.sleep(AFTER_TROUBLE_S)


def _one(store: Store) -> None:
    """The oldest run that waits; else a measurement or an export; else a moment's rest."""
    run_id = store.next_job()
    if run_id is not None:
        ended = execute(store, run_id)
        log.info("run %s: %s%s", run_id, ended.state, f" ({ended.cause})" if ended.cause else "")
    elif not (measure_next(store) or export_next(store)):
        time.sleep(ASK_EVERY_S)
