"""The worker: takes enqueued runs one after another, and between them what pages ask to be measured or exported.

Any number may run, on any machine that reaches the store. One that is killed leaves its run interrupted; the
next one goes on with it.
"""

import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from ftvp_core.errors import RunStopped, UserError
from ftvp_core.jobs.execute import execute
from ftvp_core.jobs.export import export_next
from ftvp_core.jobs.measure import measure_next
from ftvp_core.store.store import Store

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5
AFTER_TROUBLE_S = 10.0


def work(store: Store, *, until: Callable[[], bool] = lambda: False) -> None:
    """Carry out runs until `until()` says so; it is asked between runs."""
    while not until():
        try:
            if not _next(store):
                time.sleep(ASK_EVERY_S)
        except UserError as error:  # another worker was quicker
            log.info("%s", error)
        except RunStopped as error:  # the disk is full, or another took the run up while this one was silent
            log.info("%s", error)
            time.sleep(AFTER_TROUBLE_S)
        except DBAPIError as error:  # the store's server is gone for a while
            log.info("the store can't be read (%s)", error.orig)
            time.sleep(AFTER_TROUBLE_S)


def _next(store: Store) -> bool:
    """Whether there was anything to do."""
    run_id = store.next_job()
    if run_id is None:
        return measure_next(store) or export_next(store)
    ended = execute(store, run_id)
    log.info("run %s: %s%s", run_id, ended.state, f" ({ended.cause})" if ended.cause else "")
    return True
