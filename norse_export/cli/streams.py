"""Writing to standard output and standard error in any locale, into closed pipes and full disks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from norse_export.errors import OutputError


def prepare() -> None:
    """Characters that the terminal or locale does not have are shown as escapes instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def write_result(lines: Iterable[str]) -> None:
    """Lines to standard output. A reader that has gone away (`| head`) has all it wanted.

    Raises:
        OutputError: they cannot be written.
    """
    try:
        _write(sys.stdout, lines)
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(
            f"the result cannot be written: {error.strerror}",
            where="standard output",
            fix="send it to a file or pipe that can be written",
        ) from error


def write_log(lines: Iterable[str]) -> None:
    """Lines to standard error; where they cannot be written there is nobody to tell."""
    try:
        _write(sys.stderr, lines)
    except OSError:
        _discard(sys.stderr)


def _write(stream: TextIO | None, lines: Iterable[str]) -> None:
    if stream is None:  # closed by the caller
        return
    for line in lines:
        stream.write(line + "\n")
    stream.flush()


def _discard(stream: TextIO) -> None:
    """What is still buffered goes nowhere; else the interpreter would complain when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
