"""The files that a run's report is written to, and the table on standard output."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ftvp_core.errors import UserError

if TYPE_CHECKING:
    from ftvp_core.runs.arms import Sources
    from ftvp_core.store.store import Store


def add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="F", help="write the report here")
    parser.add_argument("--csv", type=Path, metavar="F", help="write one row an example and candidate here")
    parser.add_argument("--comparison-csv", type=Path, metavar="F", help="write one row a candidate here")


def check_outputs(options: argparse.Namespace) -> None:
    """Files that can't be written are found before anything is sent."""
    for path in (options.json, options.csv, options.comparison_csv):
        if path is None:
            continue
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
            raise UserError(str(path), "can't be written", "name a file in a folder you can write")


def write_outputs(
    options: argparse.Namespace, store: "Store", run_id: str, *, show: bool, sources: "Sources | None" = None
) -> None:
    """`sources`: the run's own, where they are in memory."""
    from ftvp_core.report.curves import all_findings
    from ftvp_core.report.distilled import sentences
    from ftvp_core.report.load import load_report
    from ftvp_core.report.sentence import summary, tuned_findings
    from ftvp_core.report.write import candidate_rows, csv_text, example_rows, save, table, to_json
    from ftvp_core.runs.stored import sets_of

    read_set = sets_of(store.run(run_id), sources) if sources else None
    report = load_report(store, run_id, read_set=read_set)
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
