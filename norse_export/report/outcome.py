"""What a result means for the exit code, and everything that it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from norse_export.errors import CapacityError, ExportError, Finding, UnsupportedError

if TYPE_CHECKING:
    from norse_export.report.results import CheckResult


def error_of(command: str, result: Any) -> ExportError | None:
    """The error that decides the exit code of a command that gave a result; None: all is well."""
    if command == "check":
        return _unfit(result)
    error: ExportError | None = getattr(result, "error", None)
    return error


def findings_of(command: str, result: Any) -> tuple[Finding, ...]:
    """Every finding of a result and of its targets, each once; those of the deciding error first."""
    error = error_of(command, result)
    found = [*(() if error is None else error.findings), *getattr(result, "findings", ())]
    for target in getattr(result, "targets", ()):
        found += target.findings
        found += () if getattr(target, "error", None) is None else target.error.findings
    return tuple(dict.fromkeys(found))


def errors_among(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that are errors."""
    return tuple(finding for finding in findings if finding.severity == "error")


def _unfit(result: CheckResult) -> ExportError | None:
    """Exit 3 where a target cannot express the model, 4 where a chip is too small; 3 goes before 4."""
    errors = (*errors_among(result.findings), *(found for target in result.targets for found in _blocking(target)))
    unsupported = tuple(finding for finding in errors if finding.kind != CapacityError.kind)
    if unsupported:
        return UnsupportedError.of((*unsupported, *(finding for finding in errors if finding not in unsupported)))
    return CapacityError.of(errors) if errors else None


def _blocking(target: Any) -> Iterator[Finding]:
    errors = errors_among(target.findings)
    yield from errors
    if not target.fits and not errors:
        yield Finding(
            "unsupported",
            "error",
            target.target,
            "the model does not fit",
            "choose another target (norse-export targets)",
        )
