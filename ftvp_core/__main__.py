"""The command line: python -m ftvp_core COMMAND. It never prompts.

Exit status: 0 done; 1 the user's file or setting is wrong, said in one line; 2 ended partial or failed.
Whatever is large is imported where a command uses it: the command line starts in a fraction of a second.
"""

import argparse
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ftvp_core.commands import check, doctor, run, stored, train, verify, worker
from ftvp_core.commands.console import close_output, complain, starts
from ftvp_core.errors import FtvpError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except UserError as error:
        return complain(str(error), 1)
    except FtvpError as error:
        return complain(str(error), 2)
    except KeyboardInterrupt:
        return complain("cancelled", 2)
    except BrokenPipeError:  # `runs | head`
        close_output()
        return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A wrong option is the user's setting: status 1, not argparse's 2, which means a run ended early here."""
        self.exit(1, f"ftvp: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ftvp_core", description="Prompt, retrieve or fine-tune: decided with evidence.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for one in (run, stored, check, train, worker, verify, doctor):
        one.add(commands)
    return parser


if __name__ == "__main__":
    # numpy's threads would spin at each start; the floors and the search don't multiply matrices that need them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without – and → still gets its table
        sys.stdout.reconfigure(errors="replace")
    starts()
    ended = main()
    gc.freeze()  # else the interpreter's end goes through every object of every import: 0.2 s
    sys.exit(ended)
