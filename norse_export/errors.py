"""Every deliberate error: what is wrong, where, and how to fix it.

One class per remedy. `exit_code` is what the command line exits with; the table stands in the README.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth telling the user; `kind` is a stable, machine-readable word such as `nan` or `conv_stride`."""

    kind: str
    severity: Severity
    where: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.message}\n  where: {self.where}\n  fix:   {self.fix}"


class ExportError(Exception):
    """Base class. Three parts, always filled: what is wrong, where, how to fix it.

    `findings` holds every problem found at once, the first of which is `what`, `where` and `fix`; `str` shows all.
    """

    exit_code: ClassVar[int] = 2
    kind: ClassVar[str] = "error"

    def __init__(self, what: str, *, where: str, fix: str, kind: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix
        self.findings: tuple[Finding, ...] = (Finding(kind or self.kind, "error", where, what, fix),)

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> ExportError:
        """One error that carries several findings; the first is the one shown in full."""
        first = findings[0]
        error = cls(first.message, where=first.where, fix=first.fix, kind=first.kind)
        error.findings = tuple(findings)
        return error

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.findings)


def _rebuilt(kind: type[ExportError], findings: tuple[Finding, ...]) -> ExportError:
    return kind.of(findings)


class UsageError(ExportError):
    """A wrong call: an option, an argument, an input that does not fit the model."""

    kind = "usage"


class InputFileError(ExportError):
    """An input file that is missing, unreadable, corrupt, or of a kind that cannot be read."""

    kind = "input"


class UnsafeFileError(ExportError):
    """An input file that would have run code or read other files."""

    kind = "unsafe"


class LimitError(ExportError):
    """An input file larger, deeper or slower to read than the limits allow."""

    kind = "limit"


class OutputError(ExportError):
    """An output that exists, is a link, is the input, or cannot be written."""

    kind = "output"


class GraphError(ExportError):
    """A graph that is impossible: shapes that do not fit, non-finite numbers, a loop without a delay."""

    kind = "graph"


class UnknownTargetError(ExportError):
    """A target name that is not in the registry."""

    kind = "unknown_target"


class UnsupportedError(ExportError):
    """The model uses something that the tracer, or the target, cannot express. Never approximated."""

    exit_code = 3
    kind = "unsupported"


class CapacityError(ExportError):
    """The model does not fit the chip."""

    exit_code = 4
    kind = "capacity"


class MissingDependencyError(ExportError):
    """An optional package or runtime is not installed."""

    exit_code = 5
    kind = "missing_dependency"


class TargetUnavailableError(MissingDependencyError):
    """Nothing on this machine can run what the target emits."""

    kind = "target_unavailable"


class ParityError(ExportError):
    """The artefact and the model differ, or the comparison proves nothing."""

    exit_code = 1
    kind = "parity"


class SilentLayerWarning(UserWarning):
    """A layer of spiking neurons never fires on the example input: comparing on it proves nothing about the layer."""


@contextmanager
def locating(where: str) -> Iterator[None]:
    """Give errors raised inside the place in the user's model that they belong to."""
    try:
        yield
    except ExportError as error:
        error.where = where
        error.findings = tuple(replace(finding, where=where) for finding in error.findings)
        raise
