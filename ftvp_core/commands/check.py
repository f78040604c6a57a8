"""`check`: what is wrong with an eval set, before anything is asked."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ftvp_core.errors import UserError

if TYPE_CHECKING:
    from ftvp_core.spec import TrainSetSpec
    from ftvp_core.types import ExampleSet


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser("check", help="say what is wrong with an eval set")
    check.add_argument("eval", type=Path, metavar="EVAL")
    check.add_argument("--train", type=Path, metavar="TRAIN", help="a training set, to find leaks")
    check.add_argument("--input", metavar="COLUMN")
    check.add_argument("--reference", metavar="COLUMN")
    check.add_argument("--encoding", metavar="NAME")
    check.add_argument("--json", type=Path, metavar="F", help="write the findings here")
    check.set_defaults(command=_check)


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


def _train_set(path: Path, spec: "TrainSetSpec") -> "ExampleSet":
    """Mapped by the eval set's columns, where the training set has them too; else its own are recognised."""
    from ftvp_core.data.examples import to_examples
    from ftvp_core.data.rows import read_table

    table = read_table(path)
    named = {key: value for key in ("input", "reference") if (value := getattr(spec, key)) in table.columns}
    return to_examples(table, spec.model_copy(update={"input": None, "reference": None, "path": str(path), **named}))
