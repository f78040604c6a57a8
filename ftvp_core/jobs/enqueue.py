"""A page's way to a run: plan it, then leave it for a worker, once however often the button is pressed."""

import hashlib
from decimal import Decimal
from pathlib import Path

from ftvp_core.drafts import Keys, draft_keys, read_knowledge_upload, read_upload, to_spec, to_text
from ftvp_core.runs.arms import Plan
from ftvp_core.runs.plan import is_priced, make_plan, read_sources
from ftvp_core.runs.stored import new_run
from ftvp_core.spec import load
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.versions import versions

#: The shipped comparison.
DEMO = Path(__file__).parents[2] / "assets" / "demo" / "comparison.yaml"
UNDER_WAY = {"queued", "running", "interrupted"}


def plan_draft(keys: Keys, limit_usd: Decimal | None = None) -> Plan:
    """All that a run of this draft needs, checked. Raises UserError."""
    spec = to_spec(keys)
    return make_plan(spec, read_sources(spec, home() / "uploads", read_upload, read_knowledge_upload), limit_usd)


def needs_limit(keys: Keys) -> bool:
    """Whether a run of this draft needs a limit. Raises UserError."""
    return is_priced(to_spec(keys))


def enqueue(store: Store, draft_id: str, plan: Plan) -> str:
    """Leave a draft's plan for a worker and return its run.

    Two presses, or two tabs, give one run: the request is named by the draft, its text, and the run before.
    """
    before = store.draft_run(draft_id)
    if before is not None and store.run(before).state in UNDER_WAY:
        return before
    key = _key(draft_id, before, to_text(draft_keys(store, draft_id)))
    run_id = new_run(store, plan, home() / "uploads", versions(), request_key=key)
    store.keep_draft_run(draft_id, run_id)
    return run_id


def enqueue_demo(store: Store) -> str:
    """Leave the shipped comparison for a worker, unless one is under way, and return its run."""
    spec = load(DEMO)
    before = next(iter(store.runs(limit=1, name=spec.name, folder=str(DEMO.parent))), None)
    if before is not None and before.state in UNDER_WAY:
        return before.id
    plan = make_plan(spec, read_sources(spec, DEMO.parent))
    key = _key("demo", before.id if before else None, DEMO.read_text(encoding="utf-8"))
    return new_run(store, plan, DEMO.parent, versions(), request_key=key)


def _key(*named: str | None) -> str:
    return hashlib.sha256("\x1f".join(part or "" for part in named).encode()).hexdigest()
