"""`train`: one candidate's adapter."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftvp_core.commands.console import moves, progress_bar, started

if TYPE_CHECKING:
    from ftvp_core.runs.arms import Plan
    from ftvp_core.training.tuned import Tuning


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser("train", help="train one candidate's adapter and print its folder")
    train.add_argument("file", type=Path, metavar="FILE", help="the comparison file (YAML)")
    train.add_argument("--candidate", required=True, metavar="NAME", help="a candidate that has tune")
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> int:
    from ftvp_core.jobs.train import train
    from ftvp_core.report import figures
    from ftvp_core.runs.learned_rows import few_rows
    from ftvp_core.training.tuned import cost_usd

    started()
    with progress_bar(" steps") as bar:

        def measured(plan: "Plan", one: "Tuning") -> None:
            cost = cost_usd(plan.spec.prices, one.device, one.expected_s)
            takes = figures.training(
                one.expected_s, one.expected_bytes, one.device, cost, one.rows, one.validation_rows
            )
            for line in (*few_rows(plan), f"measured: {takes}"):
                bar.write(line, file=sys.stderr)

        tuning = train(options.file, options.candidate, moves(bar), measured)
    loss = f", loss {tuning.log[0][1]:.3g} to {tuning.log[-1][1]:.3g}" if tuning.log else ""
    print(f"{tuning.rows} rows, {tuning.seconds or 0:.1f} s on {tuning.device}{loss}", file=sys.stderr)
    print(tuning.adapter)
    return 0
