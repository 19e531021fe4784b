"""Runs several command lines in one process, each in a folder of its own, and prints how each of them ended. Not tests.

    python [-O] several_commands.py < [[folder, [argument, ...]], ...] > [{"code", "out", "err"}, ...]    (JSON)

Starting a process takes longer than refusing an input.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

from norse_export.cli import main

if __name__ == "__main__":
    ended = []
    for folder, arguments in json.load(sys.stdin):
        os.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        ended.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
    print(json.dumps({"optimised": not __debug__, "ended": ended}))
