"""A candidate's tuned model: made, found from an earlier run, or gone on with where a killed process left it.

It is a folder under `adapters/`, named by all that it comes from: an adapter, or with method `full` a whole model. It
appears there complete, in one rename, or not at all. Beside it, until then, lie its checkpoints.
"""

import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ftvp_core.alone import alone
from ftvp_core.candidates.lookup import Lookup
from ftvp_core.errors import UserError
from ftvp_core.marker import is_whole, read_marker, sync
from ftvp_core.models.local import base_folder, chat_template_key, resolved
from ftvp_core.pricing.prices import machine_cost
from ftvp_core.runs.arms import Plan
from ftvp_core.spec import Prices, TuneSpec
from ftvp_core.store.opening import home
from ftvp_core.store.store import Store
from ftvp_core.training.distil import Learned
from ftvp_core.training.process import TrainingProcess, Watched
from ftvp_core.training.rows import Row, held_out, training_rows
from ftvp_core.types import Message

#: How training is done, beside its settings; a change makes new models.
RECIPE = 2
#: What of the settings doesn't decide the weights.
NOT_DECIDING = {"examples", "force", "keep_leaked", "validation", "save_steps", "teacher", "keep", "answers"}
#: The store is told of the loss at most this often.
TELL_EVERY_S = 0.5
#: Checkpoints that nobody went on with for this long are removed.
KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """A training, under way or (with `seconds`) finished.

    `adapter` is the tuned model's folder. `seconds` are of work: loading and saving too, holding not. `log` and
    `validation` are (step, loss). `expected_s` and `expected_bytes` are the dry run's; None where a training went on.
    """

    adapter: str
    rows: int
    seconds: float | None = None
    device: str | None = None
    log: tuple[tuple[int, float], ...] = ()
    validation_rows: int = 0
    validation: tuple[tuple[int, float], ...] = ()
    best_step: int | None = None
    steps: int | None = None
    tokens_per_s: float | None = None
    memory_bytes: int | None = None
    expected_s: float | None = None
    expected_bytes: int | None = None


#: Told of a training as it goes.
Keep = Callable[[Tuning], None]


def tuned_adapter(
    plan: Plan,
    at: int,
    lookup: Lookup,
    store: Store,
    run_id: str,
    watch: Watched,
    process: TrainingProcess | None = None,
    learned: Learned | None = None,
) -> Path:
    """The tuned model of a run's arm: made, or found from an earlier run. Raises UserError, RunStopped.

    `learned`: what a teacher's answers came to, where it has one.
    """

    def keep(tuning: Tuning) -> None:
        about = asdict(tuning)
        store.keep_tuning(
            run_id,
            at,
            adapter=about.pop("adapter"),
            rows=about.pop("rows"),
            seconds=about.pop("seconds"),
            log=about.pop("log"),
            cost_usd=cost_usd(plan.spec.prices, tuning.device, tuning.seconds),
            about=about,
            labels=learned.counts() if learned else None,
        )

    answers = learned.answers if learned else None
    return make_adapter(plan, at, lookup, Path(store.run(run_id).folder), keep, watch, process, answers)


def make_adapter(
    plan: Plan,
    at: int,
    lookup: Lookup,
    folder: Path,
    keep: Keep,
    watch: Watched,
    process: TrainingProcess | None = None,
    answers: Mapping[str, str] | None = None,
) -> Path:
    """The same for a comparison file in `folder`, with or without a run. `process` may train several in turn."""
    rows = training_rows(plan, at, lookup, answers)
    train, apart = held_out(plan, at, rows)
    request = _request(plan, at, folder, train, apart)
    adapter = home() / "adapters" / _key(request)
    adapter.parent.mkdir(parents=True, exist_ok=True)
    _forget_old(adapter.parent)
    with alone(adapter.with_name(f".{adapter.name}.lock"), watch):
        done = _finished(adapter)
        if done is None:
            began = Tuning(str(adapter), len(train), validation_rows=len(apart))
            with (
                alone(adapter.with_name(f".{platform.node()}.training.lock"), watch),  # they queue for the device
                nullcontext(process) if process else TrainingProcess() as its,
            ):
                done = _trained(request, began, its, keep, watch)
    keep(done)
    return adapter


def cost_usd(prices: Prices, device: str | None, seconds: float | None) -> Decimal | None:
    """What these seconds cost at the price of the device's hour; None where either isn't known."""
    per_hour = prices.machine_hour if device == "cpu" else prices.gpu_hour
    return None if seconds is None or device is None or per_hour is None else machine_cost(seconds, per_hour)


def measure(plan: Plan, at: int, lookup: Lookup, folder: Path, watch: Watched) -> dict[str, Any]:
    """What an arm's training will take, by a dry run: an Estimate's keys, and how many rows there are on each side.

    Raises UserError, RunStopped.
    """
    train, apart = held_out(plan, at, training_rows(plan, at, lookup))
    request = {**_request(plan, at, folder, train, apart), "only_measure": True}
    scratch = home() / "adapters" / ".measuring"
    scratch.mkdir(parents=True, exist_ok=True)
    lock = scratch.with_name(f".{platform.node()}.training.lock")
    with alone(lock, watch), TrainingProcess() as process:
        found = process.train({**request, "at": str(scratch)}, watch, lambda _: None)
    return {**found, "rows": len(train), "validation_rows": len(apart)}


def _request(plan: Plan, at: int, folder: Path, train: Sequence[Row], apart: Sequence[Row]) -> dict[str, Any]:
    candidate = plan.arms[at].candidate
    where = f"candidate {candidate.name}"
    assert candidate.tune is not None
    if not train:
        raise UserError(where, "found no row to train on that has a reference and isn't in the eval set")
    return {
        "where": where,
        "base": str(base_folder(resolved(candidate.model_name, folder)).resolve()),
        "tune": candidate.tune.model_dump(mode="json"),
        "train": [(row.id, row.messages, row.answer) for row in train],
        "apart": [(row.id, row.messages, row.answer) for row in apart],
        "only_measure": False,
    }


def _trained(request: Mapping[str, Any], began: Tuning, process: TrainingProcess, keep: Keep, watch: Watched) -> Tuning:
    """Train, or go on with it, and put the result in its place."""
    adapter = Path(began.adapter)
    at = adapter.with_name(f".{adapter.name}.partial")
    at.mkdir(exist_ok=True)
    shutil.rmtree(at / "tuned", ignore_errors=True)  # left by a process that was killed
    teller = _Teller(began, keep, watch)
    about = {
        "adapter": began.adapter,
        "rows": began.rows,
        "validation_rows": began.validation_rows,
        "asked": {"systems": _systems(request["train"]), "chat_template": chat_template_key(Path(request["base"]))},
    }
    done = process.train({**request, "at": str(at), "about": about}, watch, teller.told)
    shutil.rmtree(adapter, ignore_errors=True)  # without its marker it isn't one of ours any more
    (at / "tuned").rename(adapter)
    sync(adapter.parent)  # before what it could be made from is gone
    shutil.rmtree(at)
    return _tuning(done, teller.tuning)


def _systems(rows: Sequence[tuple[str, Sequence[Message], str]]) -> list[str | None]:
    """The rows' system prompts, None for a row without one: two of them are enough to say that they differ."""
    each = (messages[0].content if messages[0].role == "system" else None for _, messages, _ in rows)
    return [*dict.fromkeys(each)][:2]


class _Teller:
    """What the training process says, for who watches and for the store."""

    def __init__(self, tuning: Tuning, keep: Keep, watch: Watched) -> None:
        self.tuning = tuning
        self._keep = keep
        self._watch = watch
        self._told_at = 0.0

    def told(self, event: Mapping[str, Any]) -> None:
        now = self.tuning
        if "device" in event:
            self.tuning = replace(now, device=event["device"])
        elif "course" in event:
            self.tuning = _tuning({**event["course"], "seconds": None}, now)
        elif "estimate" in event:
            found = event["estimate"]
            self.tuning = replace(
                now, expected_s=found["seconds"], expected_bytes=found["memory_bytes"], steps=found["steps"]
            )
        elif "validation" in event:
            validation = (*now.validation, (event["step"], event["validation"]))
            self.tuning = replace(now, validation=validation, best_step=event["best_step"])
        else:
            said = {key: event[key] for key in ("steps", "tokens_per_s", "memory_bytes")}
            self.tuning = replace(now, log=(*now.log, (event["step"], event["loss"])), **said)
            self._watch.progress(event["step"], event["steps"])
            if time.monotonic() - self._told_at < TELL_EVERY_S:
                return
        self._told_at = time.monotonic()
        self._keep(self.tuning)


def _tuning(done: Mapping[str, Any], now: Tuning) -> Tuning:
    known = {field.name for field in fields(Tuning)} - {"adapter", "rows"}
    said = {key: value for key, value in done.items() if key in known}
    for key in ("log", "validation"):
        said[key] = tuple((step, loss) for step, loss in said.get(key, ()))
    return replace(now, **said)


def _key(request: Mapping[str, Any]) -> str:
    """All that decides a tuned model: the base's files, the rows as rendered, the settings that training reads."""
    base = Path(request["base"])
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(base.glob("*.*"))]
    tune = TuneSpec(**request["tune"])
    settings = tune.model_dump(mode="json", exclude=NOT_DECIDING) | {"learning_rate": tune.rate}
    rows = [[row[1:] for row in request[part]] for part in ("train", "apart")]
    content = [RECIPE, str(base), files, rows, settings]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _finished(adapter: Path) -> Tuning | None:
    """The training that made it; None where there is none, or its weights were cut or lost since."""
    if not is_whole(adapter, "*.safetensors"):
        return None
    about = read_marker(adapter)
    return _tuning(about, Tuning(str(adapter), about["rows"]))


def _forget_old(adapters: Path) -> None:
    for partial in adapters.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process is at work there
            if time.time() - max(file.stat().st_mtime for file in (partial, *partial.iterdir())) > KEPT_S:
                shutil.rmtree(partial, ignore_errors=True)
