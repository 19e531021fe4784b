"""Runs a parser on an untrusted file in a fresh process with limits on memory, CPU, wall time and files.

The process is spawned, never forked: nothing of ours but the request, the input's descriptor and the memory file for
the result reaches it. Whatever becomes of it, the parent goes on and raises one clear error.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files import exchange, outcome
from norse_export.files.budget import Budget
from norse_export.files.limits import Limits

CHILD_MODULE = "norse_export.files.child_main"
# Kept of what the child prints: enough for a traceback, whatever the child floods it with.
STDERR_BYTES = 64 * 1024
# One thread each; and HDF5 must neither load a plugin ("::" turns plugins off, HDF5 Reference Manual,
# H5PLset_loading_state; an empty path leaves no folder to look in) nor lock a file that it only reads.
CHILD_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "HDF5_PLUGIN_PRELOAD": "::",
    "HDF5_PLUGIN_PATH": "",
    "HDF5_USE_FILE_LOCKING": "FALSE",
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser returned: a JSON-like document, and read-only arrays that share the child's memory file."""

    document: Any
    arrays: Mapping[str, NDArray[Any]]


def parse_in_child(
    parser: str, file: BinaryIO, *, name: str, limits: Limits, options: Mapping[str, Any] | None = None
) -> Parsed:
    """Run `parser` ("package.module:function") on an open file in a limited child process.

    It is called there as `parser(file, limits, **options)` with the file at its start, and returns a JSON-like
    document and a dict of arrays. `name` is the file's name for messages, and `file.name` in the child. The options
    must be JSON. The position of `file` is the same afterwards.

    Raises:
        ExportError: raised by the parser; the same class, with all findings.
        InputFileError: the child crashed, or ended without an answer, or left one that is no answer.
        LimitError: it took too long, or needed too much memory.
        RuntimeError: another exception in the parser, or a child that could not start: our bug, with its traceback.
    """
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    position = os.lseek(descriptor, 0, os.SEEK_CUR)  # the child shares it
    budget = Budget.of(size, limits)
    with _memory_file() as result:
        asked = {
            "parser": parser, "name": name, "input": descriptor, "result": result, "limits": asdict(limits),
            "budget": asdict(budget), "options": dict(options or {}),
        }  # fmt: skip
        try:
            ending = _run(json.dumps(asked), (descriptor, result), budget)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        _seal(result, name)
        stage, length = exchange.read_stage(result)
        if not ending.is_clean or stage is not exchange.Stage.DONE:
            raise outcome.failure(ending, stage, parser=parser, name=name, budget=budget)
        return _read_result(result, length, parser=parser, name=name, budget=budget)


def _run(request: str, descriptors: tuple[int, ...], budget: Budget) -> outcome.Ending:
    """Run the child to its end, or to the end of its time. However this is left, the child is gone afterwards."""
    optimised = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    command = [sys.executable, "-P", *optimised, "-m", CHILD_MODULE, request]
    deadline = time.monotonic() + budget.wall_seconds
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        env={**os.environ, **CHILD_ENVIRONMENT},
        start_new_session=True,  # Ctrl-C in the terminal reaches the parent only, which then ends the child
    )
    timed_out, printed = False, b""
    with process:
        try:
            printed = _drain(process, deadline)
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return outcome.Ending(process.returncode, printed.decode("utf-8", "replace"), timed_out=timed_out)


def _drain(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The last bytes that the child prints on stderr, until it closes it or the time is over."""
    descriptor, tail = cast(IO[bytes], process.stderr).fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (remaining := deadline - time.monotonic()) > 0:
            if not selector.select(remaining):
                continue
            chunk = os.read(descriptor, STDERR_BYTES)
            if not chunk:
                break
            tail = (tail + chunk)[-STDERR_BYTES:]
    return tail


def _read_result(result: int, length: int, *, parser: str, name: str, budget: Budget) -> Parsed:
    """Check the answer as if the child were hostile, and map it; or raise what it reports."""
    try:
        document = _document(result, length, budget)
        if document.get("status") == "ok":
            return Parsed(document["document"], MappingProxyType(_mapped(result, length, document["arrays"])))
        report = outcome.reported(document, parser=parser, name=name, budget=budget)
    except (ValueError, KeyError, RecursionError) as error:
        raise InputFileError(
            f"corrupt: the process that reads the file left a wrong answer ({error})",
            where=name,
            fix=outcome.GET_AGAIN,
            kind="corrupt",
        ) from error
    raise report


def _document(result: int, length: int, budget: Budget) -> dict[str, Any]:
    if not exchange.HEADER.size + length <= os.fstat(result).st_size <= budget.result_bytes:
        raise ValueError("its length is impossible")
    match json.loads(os.pread(result, length, exchange.HEADER.size)):
        case dict() as document:
            return document
        case _:
            raise ValueError("it is no JSON object")


def _mapped(result: int, length: int, listed: Any) -> dict[str, NDArray[Any]]:
    """Read-only arrays on the memory file, which lives as long as one of them does."""
    entries = exchange.checked_entries(listed)
    offsets, end = exchange.layout(entries, exchange.HEADER.size + length)
    if end != os.fstat(result).st_size:
        raise ValueError("its length does not fit its arrays")
    # Private, because Linux before 6.7 refuses to share a sealed file, be it for reading; nothing is copied.
    mapping = mmap.mmap(result, end, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    return {
        name: _checked(np.ndarray(shape, dtype, buffer=mapping, offset=offset))
        for (name, dtype, shape), offset in zip(entries, offsets, strict=True)
    }


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    """A bool must be 0 or 1: numpy takes that for granted."""
    if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a truth value that is neither 0 nor 1")
    return array


@contextmanager
def _memory_file() -> Iterator[int]:
    """A descriptor of an anonymous file: in memory where the system can, else an unlinked temporary."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("norse-export-result", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as temporary:
            descriptor = os.dup(temporary.fileno())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _seal(descriptor: int, name: str) -> None:
    """Let nobody change or shorten the result any more, should something that the child started have survived it."""
    if not hasattr(os, "memfd_create"):
        return
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    except OSError as error:  # EBUSY: somebody still has it mapped for writing
        raise InputFileError(
            f"corrupt: the process that reads the file left another one behind ({error.strerror})",
            where=name,
            fix=outcome.GET_AGAIN,
            kind="corrupt",
        ) from error
