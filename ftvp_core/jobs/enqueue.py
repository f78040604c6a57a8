"""A page's way to a run: plan it, then leave it for a worker, once however often the button is pressed."""

import hashlib
from decimal import Decimal

from ftvp_core.drafts import Keys, draft_keys, to_spec, to_text
from ftvp_core.runs.plan import Plan, make_plan, new_run, read_sources
from ftvp_core.store.store import Store, home
from ftvp_core.versions import versions


def plan_draft(keys: Keys, limit_usd: Decimal | None = None) -> Plan:
    """All that a run of this draft needs, checked. Raises UserError."""
    spec = to_spec(keys)
    return make_plan(spec, read_sources(spec, home() / "uploads"), limit_usd)


def enqueue(store: Store, draft_id: str, plan: Plan) -> str:
    """Leave a draft's plan for a worker and return its run.

    Two presses, or two tabs, give one run: the request is named by the draft, its text, and the run before.
    """
    before = store.draft_run(draft_id)
    if before is not None and store.run(before).state in {"queued", "running", "interrupted"}:
        return before
    named = f"{draft_id} {before} {to_text(draft_keys(store, draft_id))}"
    key = hashlib.sha256(named.encode()).hexdigest()
    run_id = new_run(store, plan, home() / "uploads", versions(), request_key=key)
    store.keep_draft_run(draft_id, run_id)
    return run_id
