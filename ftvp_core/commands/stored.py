"""`runs` and `export`: what is stored of earlier runs."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftvp_core.commands.outputs import add_outputs, write_outputs
from ftvp_core.errors import UserError

if TYPE_CHECKING:
    from ftvp_core.store.store import Store


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    runs = commands.add_parser("runs", help="list the runs, newest first: id, state, name")
    runs.set_defaults(command=_runs)

    export = commands.add_parser("export", help="write a stored run's results, or a model that it tuned")
    export.add_argument("run_id", metavar="RUN_ID")
    export.add_argument("--adapter", metavar="NAME", help="write this candidate's adapter with its card; needs --to")
    export.add_argument("--merged", metavar="NAME", help="write it merged into its base, as one model; needs --to")
    export.add_argument("--to", type=Path, metavar="DIR", help="the folder in which an exported model gets its own")
    add_outputs(export)
    export.add_argument(
        "--distilled",
        type=Path,
        metavar="F",
        help="write the teacher's answers that a student learned (JSONL of chats)",
    )
    export.add_argument("--candidate", metavar="NAME", help="with --distilled: which student, where there are several")
    export.set_defaults(command=_export)


def _runs(options: argparse.Namespace) -> int:
    from ftvp_core.store.opening import open_store

    for run in open_store().listed():
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
        write_outputs(options, store, options.run_id, show=False)
    if model_asked:
        _export_models(options, store)
    return 0


def _export_models(options: argparse.Namespace, store: "Store") -> None:
    """Write them, and print each one's folder and what serves it."""
    from ftvp_core.jobs.export import served_here, write_adapter, write_merged
    from ftvp_core.report.load import load_report

    report = load_report(store, options.run_id)
    for name, write, merged in ((options.adapter, write_adapter, False), (options.merged, write_merged, True)):
        if name:
            print(write(store, report, name, options.to))
            for server, one in served_here(report, name, merged=merged).items():
                print(f"{server}: {one.command}  # a request names the model {one.model}", file=sys.stderr)
