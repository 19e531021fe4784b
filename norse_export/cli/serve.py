"""Serves one command line: parse, call, print, exit code. No traceback but that of a bug, and only when asked for."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from norse_export.cli import streams
from norse_export.cli.commands import Request, parse
from norse_export.cli.progress import progress_bar
from norse_export.cli.stop import Stopped
from norse_export.cli.usage import command_of, usage_error
from norse_export.errors import ExportError, Finding, LimitError
from norse_export.report import document, messages, text
from norse_export.report.outcome import error_of, errors_among, findings_of

BUG = 70


@dataclass(frozen=True, slots=True)
class _Manner:
    """How to answer; guessed from the bare arguments until they are understood."""

    command: str
    as_json: bool
    quiet: bool
    verbose: bool
    see: str


def serve(arguments: Sequence[str], received: Sequence[int]) -> int:
    """Serve one command line and give its exit code; `received` are the signals that came to stop it."""
    streams.prepare()
    manner = _guessed(arguments)
    try:
        try:
            request = _parsed(arguments)
            if request is None:
                return 0
            manner = _Manner(request.command, request.as_json, request.quiet, request.verbose, request.see)
            return _answer(manner, _called(request))
        except Exception as error:
            if received:  # a library turned the stop into an error of its own
                raise Stopped(received[-1]) from error
            raise
    except Stopped as stop:
        return _stopped(manner, stop)
    except ExportError as error:
        return _failed(manner, error)
    except MemoryError:
        return _failed(manner, _out_of_memory())
    except Exception as error:
        return _bug(manner, error)


def _guessed(arguments: Sequence[str]) -> _Manner:
    flags = set(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    quiet, verbose = bool(flags & {"-q", "--quiet"}), bool(flags & {"-v", "--verbose"})
    return _Manner(command_of(arguments), "--json" in flags, quiet, verbose, "run it again with -v")


def _parsed(arguments: Sequence[str]) -> Request | None:
    try:
        return parse(arguments)
    except click.ClickException as error:
        raise usage_error(error, arguments) from error


def _called(request: Request) -> Any:
    with warnings.catch_warnings(), progress_bar(quiet=request.quiet) as progress:
        if not (sys.warnoptions or request.verbose):
            warnings.simplefilter("ignore")  # what libraries say to programmers; ours are findings
        return request.call(progress)


def _answer(manner: _Manner, result: Any) -> int:
    """Print a result, and what is wrong with it."""
    error, findings = error_of(manner.command, result), findings_of(manner.command, result)
    if manner.as_json:
        streams.write_result([document.encoded(document.document_of(manner.command, result))])
    elif manner.command == "schema":  # is JSON anyway, and all that it says, so not for -q to silence
        streams.write_result([document.encoded(result)])
    elif not manner.quiet:
        streams.write_result(text.text_of(manner.command, result, verbose=manner.verbose))
    code = 0 if error is None else _complained(manner, error, len(errors_among(findings)) - 1)
    listed = manner.command == "check" and not manner.as_json  # on standard output
    if not manner.quiet and not listed and (error is None or manner.verbose):
        streams.write_log(messages.warning_lines(findings, see=manner.see, verbose=manner.verbose))
    return code


def _failed(manner: _Manner, error: ExportError) -> int:
    """Print an error that left no result; `check` lists everything that it found all the same."""
    if manner.as_json:
        _print_failure(manner, error.exit_code, error.findings)
    elif manner.command == "check" and not manner.quiet:
        _print(text.of_findings(error.findings) if len(error.findings) > 1 else [])
    return _complained(manner, error, len(errors_among(error.findings)) - 1)


def _complained(manner: _Manner, error: ExportError, more: int) -> int:
    streams.write_log(messages.error_lines(error, more=more, see=manner.see, verbose=manner.verbose))
    return error.exit_code


def _stopped(manner: _Manner, stop: Stopped) -> int:
    what = "interrupted" if stop.exit_code == 130 else "terminated"
    if manner.as_json:
        _print_failure(manner, stop.exit_code, [Finding(what, "error", manner.command, what, "run it again")])
    streams.write_log([f"{messages.PROGRAM}: {what}"])
    return stop.exit_code


def _bug(manner: _Manner, error: Exception) -> int:
    if manner.verbose:
        streams.write_log(traceback.format_exc().splitlines())
    line = messages.bug_line(error, verbose=manner.verbose)
    if manner.as_json:
        fix = "rerun with -v for the traceback, and report it"
        _print_failure(manner, BUG, [Finding("bug", "error", manner.command, line, fix)])
    streams.write_log([line])
    return BUG


def _out_of_memory() -> LimitError:
    return LimitError(
        "there is not enough memory",
        where="this process",
        fix="use fewer samples or steps (--inputs, --random, --samples), or a machine with more memory",
    )


def _print_failure(manner: _Manner, exit_code: int, findings: Iterable[Finding]) -> None:
    _print([document.encoded(document.envelope(manner.command, exit_code, {}, findings))])


def _print(lines: Sequence[str]) -> None:
    """Print beside an error, which counts for more than an output that cannot be written."""
    try:
        streams.write_result(lines)
    except ExportError:
        return
