"""Errors and warnings as lines for standard error: what, where, fix, each on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from norse_export.report.columns import count, one_line

if TYPE_CHECKING:
    from norse_export.errors import ExportError, Finding

PROGRAM = "norse-export"
MOST_WARNINGS = 10


def error_lines(error: ExportError, *, more: int = 0, see: str, verbose: bool = False) -> list[str]:
    """The error's first finding in full, and how many `more` there are and where to `see` them.

    verbose: every finding of the error in full instead.
    """
    shown = error.findings if verbose else error.findings[:1]
    lines = [line for finding in shown for line in _in_full(finding)]
    hidden = more - (len(shown) - 1)
    return [*lines, one_line(f"and {hidden} more: {see}")] if hidden > 0 else lines


def _in_full(finding: Finding) -> list[str]:
    return [
        one_line(f"{PROGRAM}: error: {finding.message}"),
        f"  where: {one_line(finding.where)}",
        f"  fix:   {one_line(finding.fix)}",
    ]


def warning_lines(findings: Sequence[Finding], *, see: str, verbose: bool = False) -> list[str]:
    """One line for each warning, at most ten of them; verbose: all, and the notes too. Errors have their own lines."""
    severities = ("warning", "note") if verbose else ("warning",)
    wanted = [finding for finding in findings if finding.severity in severities]
    shown = wanted if verbose else wanted[:MOST_WARNINGS]
    lines = [one_line(f"{PROGRAM}: {found.severity}: {found.where}: {found.message}; {found.fix}") for found in shown]
    hidden = len(wanted) - len(shown)
    return [*lines, one_line(f"{PROGRAM}: and {count(hidden, 'warning')} more: {see}")] if hidden else lines


def bug_line(error: BaseException, *, verbose: bool = False) -> str:
    """What is said of an exception that we did not foresee."""
    hint = "please report it with the traceback above" if verbose else "rerun with -v for the traceback, and report it"
    return one_line(f"{PROGRAM}: this is a bug in norse-export: {type(error).__name__}: {error} ({hint})")
