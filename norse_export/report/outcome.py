"""What a result means for the exit code, and everything that it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from norse_export.errors import CapacityError, ExportError, Finding, MissingDependencyError, UnsupportedError

if TYPE_CHECKING:
    from norse_export.report.results import CheckResult

EXIT_ORDER = (70, 2, 5, 3, 4, 1)


def first_to_exit(errors: Iterable[ExportError]) -> ExportError | None:
    """The error whose exit code goes before those of the others; None where there is none."""
    return min(errors, key=lambda error: EXIT_ORDER.index(error.exit_code), default=None)


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
    """Exit 3 where a target cannot express the model, 4 where a chip is too small; 3 goes before 4.

    Targets that cannot be loaded, or cannot do their work, count only where no other could be asked.
    """
    asked = [target for target in result.targets if not isinstance(target.error, MissingDependencyError)]
    failed = [target.error for target in (asked or result.targets) if target.error is not None]
    errors = (*errors_among(result.findings), *(found for target in asked for found in _blocking(target)))
    unsupported = tuple(finding for finding in errors if finding.kind != CapacityError.kind)
    if unsupported:
        others = (finding for finding in errors if finding not in unsupported)
        failed.append(UnsupportedError.of((*unsupported, *others)))
    elif errors:
        failed.append(CapacityError.of(errors))
    return first_to_exit(failed)


def _blocking(target: Any) -> Iterator[Finding]:
    errors = errors_among(target.findings)
    yield from errors
    if not target.fits and not errors and target.error is None:
        yield Finding(
            "unsupported",
            "error",
            target.target,
            "the model does not fit",
            "choose another target (norse-export targets)",
        )
