"""`run` and `demo`: a comparison, from its file to its report."""

import argparse
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from ftvp_core.commands.console import close_output, complain, moves, progress_bar, started
from ftvp_core.commands.outputs import add_outputs, check_outputs, write_outputs
from ftvp_core.errors import UserError
from ftvp_core.types import MOST_USD

if TYPE_CHECKING:
    from ftvp_core.runs.arms import Plan
    from ftvp_core.store.store import Store


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser("run", help="run a comparison file, or go on with a run")
    run.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the comparison file (YAML)")
    run.add_argument("--resume", metavar="RUN_ID", help="go on with this run; what is finished isn't sent again")
    run.add_argument("--retry-failed", action="store_true", help="with --resume: ask the rows that failed again")
    run.add_argument("--max-cost", type=_usd, metavar="USD", help="the most that providers may bill for this run")
    run.add_argument("--concurrency", type=_positive, metavar="N", help="requests in flight")
    add_outputs(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="run the shipped comparison: no key, no network")
    add_outputs(demo)
    demo.set_defaults(command=_demo)


def _run(options: argparse.Namespace) -> int:
    from ftvp_core.store.opening import open_store

    if options.file is None and options.resume is None:
        raise UserError("run", "neither a comparison file nor --resume is given", "give one")
    if options.retry_failed and options.resume is None:
        raise UserError("--retry-failed", "is given without --resume", "name the run whose failed rows are asked again")
    check_outputs(options)
    if options.resume is None:
        return _carry_out(options, *_new_run(options.file, options.max_cost))
    store = open_store()
    plan = _resumed_plan(store, options)
    if plan is None:  # it is done
        write_outputs(options, store, options.resume, show=True)
        return 0
    _announce(options.resume, plan)
    return _carry_out(options, store, options.resume, plan)


def _demo(options: argparse.Namespace) -> int:
    from ftvp_core.jobs.enqueue import DEMO

    check_outputs(options)
    options.concurrency = None
    return _carry_out(options, *_new_run(DEMO, None))


def _carry_out(options: argparse.Namespace, store: "Store", run_id: str, plan: "Plan") -> int:
    """Run, report, and say what came of it: the table goes to standard output."""
    from ftvp_core.jobs.execute import execute

    started()
    with progress_bar(" answers") as bar:
        ended = execute(store, run_id, moves(bar), options.concurrency, plan)
    status = 0
    try:
        write_outputs(options, store, run_id, show=True, sources=plan.sources)
    except BrokenPipeError:  # `run | head`: what came of the run is its status all the same
        close_output()
    except (UserError, OSError) as error:  # it was paid for: the report alone is missing
        again = f"python -m ftvp_core export {run_id} --json F"
        status = complain(f"run {run_id} is kept, its report isn't written ({error}); write it with: {again}", 2)
    if ended.state == "done":
        return status
    resume = f"python -m ftvp_core run --resume {run_id}"
    return complain(f"run {run_id} ended {ended.state}: {ended.cause}; what finished is kept, go on with: {resume}", 2)


def _new_run(file: Path, limit_usd: Decimal | None) -> tuple["Store", str, "Plan"]:
    """A stored run of a comparison file, announced, and its plan."""
    from ftvp_core.runs.plan import make_plan, read_sources
    from ftvp_core.runs.stored import new_run
    from ftvp_core.spec import load
    from ftvp_core.store.opening import open_store
    from ftvp_core.versions import versions

    spec = load(file)
    plan = make_plan(spec, read_sources(spec, file.parent), limit_usd)
    store = open_store()
    run_id = new_run(store, plan, file.parent.resolve(), versions())
    _announce(run_id, plan)
    return store, run_id, plan


def _resumed_plan(store: "Store", options: argparse.Namespace) -> "Plan | None":
    """The stored plan, after checking that a given file is still the one it began with.

    None where nothing is to be sent: of a finished run, unless its failed rows are to be asked again and there are any.
    """
    from dataclasses import replace

    from ftvp_core.runs.plan import read_sources
    from ftvp_core.runs.stored import check_unchanged, stored_plan
    from ftvp_core.spec import load

    run = store.run(options.resume)
    if options.file is not None:
        spec = load(options.file)
        check_unchanged(run, spec, read_sources(spec, options.file.parent), store)
    retried = options.retry_failed and any(counts.failed for counts in store.counts(run.id).values())
    if run.state == "done" and not retried:
        return None
    if options.max_cost is not None:
        run = replace(run, limit_usd=options.max_cost)
    plan = stored_plan(store, run)
    store.requeue(run.id, enqueued=False, failed=retried, limit_usd=options.max_cost)  # known by now to fit the run
    return plan


def _announce(run_id: str, plan: "Plan") -> None:
    """The run's id and what is about to be sent, on standard error before it is."""
    from ftvp_core.report.figures import count, dollars
    from ftvp_core.runs.estimate import estimate
    from ftvp_core.runs.learned_rows import few_rows

    said = f"run {run_id} {plan.spec.name!r}"
    if any(arm.is_remote for arm in plan.arms):
        most = estimate(plan)
        cost = f"at most {dollars(most.most_usd)}" if most.most_usd is not None else "cost unknown: no price"
        limit = f", limit {dollars(plan.limit_usd)}" if plan.limit_usd is not None else ""
        repairs = f" and up to {most.repairs:,} repairs" if most.repairs else ""
        said += f": {most.calls:,} calls{repairs}, about {count(most.input_tokens)} tokens in ({most.counted_by}), {cost}{limit}"
        if most.batched:
            said += f"; {most.batched:,} of them in batches: half price, latency not measured, up to 24 h"
    print("\n".join([said, *few_rows(plan)]), file=sys.stderr)


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= MOST_USD:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected dollars such as 5.00, at most {MOST_USD}")
    return amount


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return int(text)
