"""The command line: python -m ftvp_core COMMAND. It never prompts.

Exit status: 0 done; 1 the user's file or setting is wrong, said in one line; 2 ended partial or failed.
"""

import argparse
import gc
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Never, NoReturn

from ftvp_core.errors import FtvpError, UserError
from ftvp_core.types import MOST_USD

if TYPE_CHECKING:  # imported where they are used: the command line starts in a fraction of a second
    from tqdm import tqdm

    from ftvp_core.runs.arms import Plan
    from ftvp_core.spec import TrainSetSpec
    from ftvp_core.store.store import Store
    from ftvp_core.training.tuned import Tuning
    from ftvp_core.types import ExampleSet


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except UserError as error:
        return _complain(str(error), 1)
    except FtvpError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("cancelled", 2)
    except BrokenPipeError:  # `runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A wrong option is the user's setting: status 1, not argparse's 2, which means a run ended early here."""
        self.exit(1, f"ftvp: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ftvp_core", description="Prompt, retrieve or fine-tune: decided with evidence.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a comparison file, or go on with a run")
    run.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the comparison file (YAML)")
    run.add_argument("--resume", metavar="RUN_ID", help="go on with this run; what is finished isn't sent again")
    run.add_argument("--retry-failed", action="store_true", help="with --resume: ask the rows that failed again")
    run.add_argument("--max-cost", type=_usd, metavar="USD", help="the most that providers may bill for this run")
    run.add_argument("--concurrency", type=_positive, metavar="N", help="requests in flight")
    _add_outputs(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="run the shipped comparison: no key, no network")
    _add_outputs(demo)
    demo.set_defaults(command=_demo)

    runs = commands.add_parser("runs", help="list the runs, newest first: id, state, name")
    runs.set_defaults(command=_runs)

    export = commands.add_parser("export", help="write a stored run's results, or a model that it tuned")
    export.add_argument("run_id", metavar="RUN_ID")
    export.add_argument("--adapter", metavar="NAME", help="write this candidate's adapter with its card; needs --to")
    export.add_argument("--merged", metavar="NAME", help="write it merged into its base, as one model; needs --to")
    export.add_argument("--to", type=Path, metavar="DIR", help="the folder in which an exported model gets its own")
    _add_outputs(export)
    export.add_argument(
        "--distilled",
        type=Path,
        metavar="F",
        help="write the teacher's answers that a student learned (JSONL of chats)",
    )
    export.add_argument("--candidate", metavar="NAME", help="with --distilled: which student, where there are several")
    export.set_defaults(command=_export)

    check = commands.add_parser("check", help="say what is wrong with an eval set")
    check.add_argument("eval", type=Path, metavar="EVAL")
    check.add_argument("--train", type=Path, metavar="TRAIN", help="a training set, to find leaks")
    check.add_argument("--input", metavar="COLUMN")
    check.add_argument("--reference", metavar="COLUMN")
    check.add_argument("--encoding", metavar="NAME")
    check.add_argument("--json", type=Path, metavar="F", help="write the findings here")
    check.set_defaults(command=_check)

    train = commands.add_parser("train", help="train one candidate's adapter and print its folder")
    train.add_argument("file", type=Path, metavar="FILE", help="the comparison file (YAML)")
    train.add_argument("--candidate", required=True, metavar="NAME", help="a candidate that has tune")
    train.set_defaults(command=_train)

    worker = commands.add_parser("worker", help="carry out the runs that pages ask for")
    worker.add_argument("--attached", action="store_true", help="end, after the run under way, when its parent ends")
    worker.set_defaults(command=_worker)
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="F", help="write the report here")
    parser.add_argument("--csv", type=Path, metavar="F", help="write one row an example and candidate here")
    parser.add_argument("--comparison-csv", type=Path, metavar="F", help="write one row a candidate here")


def _run(options: argparse.Namespace) -> int:
    from ftvp_core.store.opening import open_store

    if options.file is None and options.resume is None:
        raise UserError("run", "neither a comparison file nor --resume is given", "give one")
    if options.retry_failed and options.resume is None:
        raise UserError("--retry-failed", "is given without --resume", "name the run whose failed rows are asked again")
    _check_outputs(options)
    if options.resume is None:
        return _carry_out(options, *_new_run(options.file, options.max_cost))
    store = open_store()
    plan = _resumed_plan(store, options)
    if plan is None:  # it is done
        _write_outputs(options, store, options.resume, show=True)
        return 0
    _announce(options.resume, plan)
    del plan
    return _carry_out(options, store, options.resume)


def _demo(options: argparse.Namespace) -> int:
    from ftvp_core.jobs.enqueue import DEMO

    _check_outputs(options)
    options.concurrency = None
    return _carry_out(options, *_new_run(DEMO, None))


def _carry_out(options: argparse.Namespace, store: "Store", run_id: str) -> int:
    """Run, report, and say what came of it: the table goes to standard output."""
    from ftvp_core.jobs.execute import execute

    with _progress_bar(" answers") as bar:
        ended = execute(store, run_id, _moves(bar), options.concurrency)
    _write_outputs(options, store, run_id, show=True)
    if ended.state == "done":
        return 0
    resume = f"python -m ftvp_core run --resume {run_id}"
    return _complain(f"run {run_id} ended {ended.state}: {ended.cause}; what finished is kept, go on with: {resume}", 2)


def _new_run(file: Path, limit_usd: Decimal | None) -> tuple["Store", str]:
    """A stored run of a comparison file, announced. Its plan, with all its rows, is in memory no longer than here."""
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
    return store, run_id


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
    if options.max_cost is not None:  # kept once it is known to fit the run
        store.set_limit(run.id, options.max_cost)
    store.requeue(run.id, enqueued=False, failed=retried)
    return plan


def _runs(options: argparse.Namespace) -> int:
    from ftvp_core.store.opening import open_store

    for run in open_store().runs():
        print(run.id, run.state, " ".join(run.name.split()))
    return 0


def _export(options: argparse.Namespace) -> int:
    from ftvp_core.jobs.distilled_set import distilled_set
    from ftvp_core.report.write import save
    from ftvp_core.store.opening import open_store

    report_asked = options.csv or options.json or options.comparison_csv
    model_asked = options.adapter or options.merged
    if not (report_asked or options.distilled or model_asked):
        choices = "give --csv, --json, --comparison-csv, --distilled, --adapter or --merged"
        raise UserError("export", "no file to write is given", choices)
    if model_asked and options.to is None:
        raise UserError("export", "--to is missing", "name the folder that the model goes into")
    store = open_store()
    store.run(options.run_id)
    if options.distilled:
        save(options.distilled, distilled_set(store, options.run_id, options.candidate))
    if report_asked:
        _write_outputs(options, store, options.run_id, show=False)
    if model_asked:
        _export_models(options, store)
    return 0


def _export_models(options: argparse.Namespace, store: "Store") -> None:
    """Write them, and print each one's folder and what serves it."""
    from ftvp_core.jobs.export import write_adapter, write_merged
    from ftvp_core.report.card import commands
    from ftvp_core.report.load import load_report

    report = load_report(store, options.run_id)
    for name, write, merged in ((options.adapter, write_adapter, False), (options.merged, write_merged, True)):
        if name:
            print(write(store, report, name, options.to))
            for server, command in commands(report, name, merged=merged).items():
                print(f"{server}: {command}", file=sys.stderr)


def _check(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ftvp_core.data.checks import check, difference_finding
    from ftvp_core.data.examples import to_examples
    from ftvp_core.data.rows import read_table
    from ftvp_core.report.write import save
    from ftvp_core.spec import TrainSetSpec

    spec = TrainSetSpec(
        path=str(options.eval), input=options.input, reference=options.reference, encoding=options.encoding
    )
    table = read_table(options.eval, options.encoding)
    train_set = _train_set(options.train, spec) if options.train else None
    found: dict[str, object] = {"format": table.format, "encoding": table.encoding, "n": len(table.rows)}
    try:
        eval_set = to_examples(table, spec)
    except UserError as error:
        finding = {"id": "no-mapping", "severity": "error", "count": len(table.rows), "rows": [], "message": str(error)}
        found |= {"mapping": None, "findings": [finding, asdict(difference_finding(len(table.rows)))]}
    else:
        found |= {
            "format": eval_set.format,
            "n": len(eval_set.examples),
            "mapping": {key: value for key, value in asdict(eval_set.mapping).items() if value},
            "findings": [asdict(finding) for finding in check(eval_set, train_set)],
        }
    if options.json:
        save(options.json, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    print(
        f"{table.path}: {found['format']}, {found['encoding']}, {found['n']} rows, mapping {found['mapping'] or 'none'}"
    )
    for finding in found["findings"]:  # type: ignore[attr-defined]
        print(f"{finding['severity']:8}{finding['id']:28}{finding['message']}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from ftvp_core.jobs.train import train
    from ftvp_core.report import figures
    from ftvp_core.runs.learned_rows import few_rows
    from ftvp_core.training.tuned import cost_usd

    with _progress_bar(" steps") as bar:

        def measured(plan: "Plan", one: "Tuning") -> None:
            cost = cost_usd(plan.spec.prices, one.device, one.expected_s)
            takes = figures.training(
                one.expected_s, one.expected_bytes, one.device, cost, one.rows, one.validation_rows
            )
            for line in (*few_rows(plan), f"measured: {takes}"):
                bar.write(line, file=sys.stderr)

        tuning = train(options.file, options.candidate, _moves(bar), measured)
    loss = f", loss {tuning.log[0][1]:.3g} to {tuning.log[-1][1]:.3g}" if tuning.log else ""
    print(f"{tuning.rows} rows, {tuning.seconds or 0:.1f} s on {tuning.device}{loss}", file=sys.stderr)
    print(tuning.adapter)
    return 0


def _worker(options: argparse.Namespace) -> int:
    import logging

    from ftvp_core.jobs.worker import work
    from ftvp_core.store.opening import open_store

    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each look at a batch
    # It may die at any instant: its run is then interrupted, not cancelled, and the next worker goes on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    work(open_store(), until=lambda: options.attached and os.getppid() != parent)
    return 0


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


def _progress_bar(unit: str) -> "tqdm[Never]":
    from tqdm import tqdm

    return tqdm(unit=unit, file=sys.stderr, disable=None, dynamic_ncols=True)


def _moves(bar: "tqdm[Never]") -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress


def _check_outputs(options: argparse.Namespace) -> None:
    """Files that can't be written are found before anything is sent."""
    for path in (options.json, options.csv, options.comparison_csv):
        if path is None:
            continue
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
            raise UserError(str(path), "can't be written", "name a file in a folder you can write")


def _write_outputs(options: argparse.Namespace, store: "Store", run_id: str, *, show: bool) -> None:
    from ftvp_core.report.curves import all_findings
    from ftvp_core.report.distilled import sentences
    from ftvp_core.report.load import load_report
    from ftvp_core.report.sentence import summary, tuned_findings
    from ftvp_core.report.write import candidate_rows, csv_text, example_rows, save, table, to_json

    report = load_report(store, run_id)
    if options.json:
        save(options.json, to_json(report))
    if options.csv:
        save(options.csv, csv_text(example_rows(report, store)))
    if options.comparison_csv:
        save(options.comparison_csv, csv_text(candidate_rows(report.comparison)))
    if show:
        print(table(report))
        print("\n" + "\n".join(summary(report.comparison, report.decision)))
        for finding in (*tuned_findings(report.comparison), *all_findings(report.comparison)):
            print(finding)
        for one in report.comparison.distillations:
            print(" ".join(sentences(one, report.comparison)))
        for warning in report.decision.warnings:
            print(f"Warning ({warning.id}): {warning.message}")


def _train_set(path: Path, spec: "TrainSetSpec") -> "ExampleSet":
    """Mapped by the eval set's columns, where the training set has them too; else its own are recognised."""
    from ftvp_core.data.examples import to_examples
    from ftvp_core.data.rows import read_table

    table = read_table(path)
    named = {key: value for key in ("input", "reference") if (value := getattr(spec, key)) in table.columns}
    return to_examples(table, spec.model_copy(update={"input": None, "reference": None, "path": str(path), **named}))


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


def _complain(line: str, status: int) -> int:
    print(f"ftvp: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    # numpy's threads would spin at each start; the floors and the search don't multiply matrices that need them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without – and → still gets its table
        sys.stdout.reconfigure(errors="replace")
    ended = main()
    gc.freeze()  # else the interpreter's end goes through every object of every import: 0.2 s
    sys.exit(ended)
