"""How a child process ended, turned into the error to raise: what became of it decides the class."""

from __future__ import annotations

import inspect
import signal
from dataclasses import dataclass
from typing import Any

from norse_export import errors
from norse_export.errors import ExportError, Finding, InputFileError, LimitError
from norse_export.files.budget import MB, Budget
from norse_export.files.exchange import NO_ROOM, Stage

GET_AGAIN = "get the file again from its source, or save the model again"
_STDERR_LINES = 30


@dataclass(frozen=True, slots=True)
class Ending:
    """Return code of a child (negative: the signal), the end of its stderr, and whether its time was over."""

    code: int
    stderr: str
    timed_out: bool

    @property
    def is_clean(self) -> bool:
        """Whether the child ended by itself, and well."""
        return self.code == 0 and not self.timed_out


def failure(ending: Ending, stage: Stage, *, parser: str, name: str, budget: Budget) -> Exception:
    """The error for a child that left no answer."""
    if ending.timed_out or ending.code == -signal.SIGALRM:
        return _too_slow(f"{budget.wall_seconds:.0f} s", name)
    if ending.code == -signal.SIGXCPU:
        return _too_slow(f"{budget.cpu_seconds} s of CPU", name)
    if ending.code in (NO_ROOM, -signal.SIGXFSZ):
        return LimitError(
            "too large: cannot write the content of the file to memory: it exceeds the limit on the size of files",
            where=name,
            fix="raise the limit of the shell (ulimit -f), or pass a larger --max-bytes",
        )
    if stage in (Stage.NOTHING, Stage.STARTED) and ending.code > 0:
        printed = "\n".join(ending.stderr.splitlines()[-_STDERR_LINES:])
        return RuntimeError(f"the process that reads files did not start (exit code {ending.code}):\n{printed}")
    if ending.code == -signal.SIGKILL:
        return LimitError(
            "reading the file was stopped from outside (SIGKILL), as happens at the memory limit of the machine",
            where=name,
            fix="free some memory and try again; if it happens again, the file is corrupt or too large",
        )
    if "MemoryError" in ending.stderr:
        return _too_much_memory(name, budget)
    if ending.code < 0:
        how = f"the process that reads it crashed ({_signal_name(-ending.code)})"
    else:
        how = f"the process that reads it ended without an answer (exit code {ending.code})"
    return InputFileError(f"corrupt: {how}", where=name, fix=GET_AGAIN, kind="corrupt")


def reported(document: dict[str, Any], *, parser: str, name: str, budget: Budget) -> Exception:
    """The error that a child reported itself.

    Raises:
        ValueError: the document is none that our child writes.
    """
    match document:
        case {"status": "error", "class": str() as class_name, "findings": [_, *_] as findings}:
            return _class_of(class_name).of([_finding(raw) for raw in findings])
        case {"status": "bug", "traceback": str() as text}:
            return RuntimeError(f"{parser} failed on {name}:\n{text}")
        case {"status": "memory"}:
            return _too_much_memory(name, budget)
        case {"status": "recursion"}:
            return LimitError("nested too deep: deeper than any limit that could be read", where=name, fix=GET_AGAIN)
    raise ValueError("it reports nothing that is known")


def _class_of(name: str) -> type[ExportError]:
    found = getattr(errors, name, None)
    if not (inspect.isclass(found) and issubclass(found, ExportError)):
        raise ValueError(f"{name!r} is no error")
    return found


def _finding(raw: Any) -> Finding:
    match raw:
        case {
            "kind": str() as kind,
            "severity": "error" | "warning" | "note" as severity,
            "where": str() as where,
            "message": str() as message,
            "fix": str() as fix,
        }:
            return Finding(kind, severity, where, message, fix)
    raise ValueError("it reports a finding without its parts")


def _too_slow(taken: str, name: str) -> LimitError:
    return LimitError(
        f"too slow to read: it took more than {taken}, the time limit of a file of its size (a guard against hostile "
        "and damaged files)",
        where=name,
        fix=f"{GET_AGAIN}; if it is sound, pass a larger --max-objects: it gives more time",
        kind="time",
    )


def _too_much_memory(name: str, budget: Budget) -> LimitError:
    return LimitError(
        f"reading the file needs more memory than its limit of {budget.memory_bytes // MB} MB; it may be corrupt",
        where=name,
        fix=f"{GET_AGAIN}; if it is meant to be so large, pass a larger --max-bytes",
        kind="memory",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
