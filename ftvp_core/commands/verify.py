"""`verify`: a report that somebody hands on, held against the run that it says it is of."""

import argparse
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ftvp_core.errors import UserError

#: Differences that are told, each in a line.
TOLD = 20


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser("verify", help="see that a JSON report says what its run's ledger and results say")
    verify.add_argument("report", type=Path, metavar="REPORT", help="the file that run or export wrote by --json")
    verify.set_defaults(command=_verify)


def _verify(options: argparse.Namespace) -> int:
    from ftvp_core.report.load import load_report
    from ftvp_core.report.write import to_json
    from ftvp_core.store.opening import open_store

    said = _read(options.report)
    found = json.loads(to_json(load_report(open_store(), said["run_id"])))
    differing = list(differences(said, found))
    for one in differing[:TOLD]:
        print(one)
    if len(differing) > TOLD:
        print(f"… and {len(differing) - TOLD:,} more")
    if differing:
        what = f"differs from what run {said['run_id']} has stored, in {len(differing):,} places"
        raise UserError(str(options.report), what, "the run may have gone on since: export it again, and compare")
    print(f"{options.report}: every figure follows from what run {said['run_id']} has stored")
    return 0


def _read(path: Path) -> dict[str, Any]:
    """Raises UserError for what is no report."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(str(path), f"can't be read ({error.strerror})", "check the path") from None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("run_id"), str):
        raise UserError(str(path), "is no report", "give a file that run or export wrote by --json")
    return said


def differences(said: Any, found: Any, at: str = "") -> Iterator[str]:
    """Where a report says otherwise, with the key's path; what it doesn't say at all, as an older one, is left out."""
    if isinstance(said, dict) and isinstance(found, dict):
        for key in said:
            yield from differences(said[key], found.get(key), f"{at}.{key}" if at else key)
    elif isinstance(said, list) and isinstance(found, list):
        for number, (one, other) in enumerate(zip_longest(said, found)):
            yield from differences(one, other, f"{at}[{number}]")
    elif said != found or isinstance(said, bool) is not isinstance(found, bool):
        yield f"{at}: the report has {json.dumps(said, ensure_ascii=False)}, the run {json.dumps(found, ensure_ascii=False)}"
