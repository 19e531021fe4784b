"""Parsers for the child process that behave well, or as badly as a parser can. Found through PYTHONPATH."""

from __future__ import annotations

import atexit
import ctypes
import gc
import mmap
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from norse_export.errors import Finding, GraphError, LimitError, UnsafeFileError
from norse_export.files import budget, exchange
from norse_export.files.limits import Limits

Answer = tuple[Any, dict[str, Any]]


class LocalError(UnsafeFileError):
    """A class that the parent does not know; its base it does."""


def echo(file: BinaryIO, limits: Limits, **options: Any) -> Answer:
    content = np.frombuffer(file.read(), np.uint8)
    return {"name": file.name, "options": options, "max_bytes": limits.max_bytes}, {"content": content}


def many_arrays(_file: BinaryIO, _limits: Limits) -> Answer:
    arrays = {
        "scalar": np.array(2.5),
        "empty": np.zeros((2, 0, 3), np.float32),
        "transposed": np.arange(12, dtype=np.int16).reshape(3, 4).T,
        "big_endian": np.arange(3, dtype=">f8"),
        "bool": np.array([True, False]),
        "half": np.array([1.5], np.float16),
        "strided": np.arange(10, dtype=np.uint8)[::3],
        "ü \ud800 \x00": np.array([1], np.int64),
    }
    return {"nested": [1, None, {"a": "ü \ud800"}], "float": 0.1, "big": 2**70}, arrays


def surroundings(_file: BinaryIO, _limits: Limits) -> Answer:
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    return {
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in names},
        "address_space": int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"),
        "environment": dict(os.environ),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "optimize": sys.flags.optimize,
        "safe_path": sys.flags.safe_path,
        "session": os.getsid(0) == os.getpid(),
        "torch": "torch" in sys.modules,
        "h5py_plugin_folders": _plugin_folders(),
    }, {}


def _plugin_folders() -> int:
    import h5py

    return int(h5py.h5pl.size())


def refuses(_file: BinaryIO, _limits: Limits) -> Answer:
    raise GraphError.of(
        [
            Finding("nan", "error", "layer 1", "NaN in a weight", "train again"),
            Finding("tau", "warning", "layer 2", "tau is odd", "look at it"),
        ]
    )


def refuses_with_its_own_class(_file: BinaryIO, _limits: Limits) -> Answer:
    raise LocalError("would run code", where="here", fix="do not")


def refuses_by_limit(_file: BinaryIO, _limits: Limits) -> Answer:
    raise LimitError("too many", where="here", fix="fewer")


def has_a_bug(_file: BinaryIO, _limits: Limits) -> Answer:
    raise KeyError("a bug of ours")


def returns_an_object(_file: BinaryIO, _limits: Limits) -> Answer:
    return {"object": object()}, {}


def returns_objects_in_an_array(_file: BinaryIO, _limits: Limits) -> Answer:
    return {}, {"objects": np.array([object()])}


def segfaults(_file: BinaryIO, _limits: Limits) -> Answer:
    ctypes.string_at(0)
    return {}, {}


def kills_itself(_file: BinaryIO, _limits: Limits, number: int = signal.SIGKILL) -> Answer:
    os.kill(os.getpid(), number)
    return {}, {}


def exceeds_the_size_of_a_file(_file: BinaryIO, _limits: Limits) -> Answer:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGXFSZ)
    return {}, {}


def spins(_file: BinaryIO, _limits: Limits) -> Answer:
    while True:
        pass


def sleeps(_file: BinaryIO, _limits: Limits, pid_file: str = "") -> Answer:
    if pid_file:
        Path(pid_file).write_text(str(os.getpid()))
    while True:
        time.sleep(1000)


def floods(_file: BinaryIO, _limits: Limits) -> Answer:
    while True:
        os.write(2, b"garbage \xff\x00" * 1000)


def allocates(_file: BinaryIO, _limits: Limits, megabytes: int, declared: int = 0) -> Answer:
    budget.declare_bytes(declared)
    np.zeros(megabytes * 10**6, np.uint8)
    return "enough", {}


def recurses(file: BinaryIO, limits: Limits) -> Answer:
    return recurses(file, limits)


def leaves_without_a_word(_file: BinaryIO, _limits: Limits, code: int) -> Answer:
    os._exit(code)


def prints_garbage(file: BinaryIO, limits: Limits) -> Answer:
    print("garbage" * 1000)
    print("garbage" * 100_000, file=sys.stderr)
    os.write(1, b"\x00\xff" * 1000)
    return echo(file, limits)


def answers_garbage(_file: BinaryIO, _limits: Limits, garbage: str) -> Answer:
    """Write to the memory file what no child of ours would, and leave."""
    os.ftruncate(_result(), 0)
    os.pwrite(_result(), bytes.fromhex(garbage), 0)
    os._exit(0)


def _result() -> int:
    """The memory file's descriptor."""
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            if "norse-export-result" in os.readlink(f"/proc/self/fd/{number}"):
                return number
        except FileNotFoundError:  # that of the listing
            continue
    raise LookupError("no memory file")


def returns_bytes(_file: BinaryIO, _limits: Limits, size: int) -> Answer:
    budget.declare_bytes(size)
    return {}, {"a": np.zeros(size, np.uint8)}


def lies_about_truth(_file: BinaryIO, _limits: Limits) -> Answer:
    return {}, {"b": np.array([0, 7], np.uint8).view(np.bool_)}


def leaves_a_survivor(_file: BinaryIO, _limits: Limits, pid_file: str) -> Answer:
    """Another process, which keeps the memory file and tries to change it later."""
    gc.disable()
    if os.fork() == 0:
        os.setsid()
        os.close(2)
        time.sleep(0.3)
        try:
            os.pwrite(_result(), b"\xff" * 200, exchange.HEADER.size)
            outcome = "written"
        except PermissionError:
            outcome = "refused"
        Path(pid_file).write_text(outcome)
        os._exit(0)
    return {}, {"a": np.arange(1000, dtype=np.int64)}


def leaves_a_mapping(_file: BinaryIO, _limits: Limits, pid_file: str) -> Answer:
    """Another process, which could change the memory file without writing to it."""
    mapping = mmap.mmap(_result(), exchange.HEADER.size)
    if (pid := os.fork()) == 0:
        os.setsid()
        os.close(2)
        time.sleep(20)
        os._exit(0)
    mapping.close()
    Path(pid_file).write_text(str(pid))
    return {}, {"a": np.arange(1000, dtype=np.int64)}


def leaves_a_file_at_exit(_file: BinaryIO, _limits: Limits, path: str) -> Answer:
    atexit.register(lambda: Path(path).write_text("done"))
    return {}, {}
