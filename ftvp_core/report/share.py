"""Links that show one frozen comparison to whoever has them, read-only, and nothing else of the store."""

import hashlib
import secrets
import time

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ftvp_core.errors import UserError
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import Comparison, Decision

#: An ECDF drawn from so many quantiles can't be told from the whole.
ECDF_POINTS = 512


@dataclass(frozen=True)
class Shared:
    """What a link shows: figures, no examples, no prompts, no settings."""

    name: str
    state: str
    n: int
    shared_at: float
    comparison: Comparison
    decision: Decision
    latencies_s: dict[str, list[float]]


_SHARED = TypeAdapter(Shared)


def share(store: Store, report: Report) -> str:
    """Freeze a report and return its link's token (128 random bits). It can't be shown again: only its hash is kept."""
    frozen = Shared(
        report.spec.name,
        report.run.state,
        len(report.eval_set.examples),
        time.time(),
        report.comparison,
        report.decision,
        {name: thinned(values) for name, values in report.latencies_s.items()},
    )
    snapshot = store.keep("snapshot", report.spec.name, 1, _SHARED.dump_json(frozen).decode())
    token = secrets.token_urlsafe(16)
    store.keep_share(_hash(token), report.run.id, snapshot)
    return token


def open_shared(store: Store, token: str) -> Shared:
    """What a token shows. Raises UserError, the same for a wrong and a revoked one."""
    body = store.shared_snapshot(_hash(token))
    if body is None:
        raise UserError("this link", "shows nothing: it is wrong, or was revoked", "ask for a new one")
    try:
        return _SHARED.validate_json(body)
    except ValidationError:
        raise UserError("this link", "was made by another version of ftvp", "ask for a new one") from None


def thinned(values: list[float]) -> list[float]:
    """At most ECDF_POINTS quantiles of the values, sorted."""
    if len(values) <= ECDF_POINTS:
        return sorted(values)
    quantiles: list[float] = np.quantile(values, np.linspace(0, 1, ECDF_POINTS)).tolist()
    return quantiles


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
