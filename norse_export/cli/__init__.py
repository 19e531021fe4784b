"""The command line, `norse-export`: it parses, calls the pipeline and prints. What it prints is made by `report`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name; None: the process's own) and give its exit code.

    Signals are taken over before anything else is imported, so that a stop ends without a traceback at any time.
    """
    try:
        from norse_export.cli.stop import handled_signals

        with handled_signals(for_good=arguments is None) as received:
            from norse_export.cli.serve import serve

            return serve(sys.argv[1:] if arguments is None else arguments, received)
    except KeyboardInterrupt as stop:
        return int(getattr(stop, "exit_code", 130))
