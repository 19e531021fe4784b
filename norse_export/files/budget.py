"""What the child process may use: memory, CPU time, wall time, open files. Each number with its reason.

The limits are set by the child itself, after it has imported what it needs and before it touches the input. They
are kept by the kernel, so nothing that the input does to the process can lift them.
"""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass

from norse_export.files.limits import Limits

MB = 10**6

# Chosen: the parser needs 0.1 to 0.3 s for files of some MB (measured); one changed byte makes HDF5 loop for ever.
BASE_CPU_SECONDS = 8
BASE_WALL_SECONDS = 12.0
# Chosen: a slow disk reads 50 MB/s, and inflating or hashing is faster than that (sha256: 400 MB/s or more).
BYTES_PER_EXTRA_SECOND = 50 * MB
# Measured: HDF5 takes 0.1 ms to open and read one small object, of which nir writes one for each 470 bytes. Twice the
# time for slower machines; 128 bytes is less than any object takes.
SECONDS_PER_OBJECT = 2e-4
LEAST_OBJECT_BYTES = 128
# The array read, and the copy that is handed over. Chosen slack: HDF5's caches and one inflated chunk.
MEMORY_FACTOR = 2
MEMORY_SLACK = 512 * MB
# Above the soft limit, so that running out of memory can still be reported.
REPORT_RESERVE = 64 * MB
# Room in the memory file for the document, besides the arrays. A graph of 100,000 objects takes 20 MB.
DOCUMENT_SLACK = 64 * MB
# stdin, stdout, stderr, input, result, and what an interpreter or coverage opens at its end.
OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits for one input: seconds, and bytes beyond what the process holds when they are set."""

    cpu_seconds: int
    wall_seconds: float
    memory_bytes: int
    memory_bytes_at_most: int
    result_bytes: int

    @classmethod
    def of(cls, file_bytes: int, limits: Limits) -> Budget:
        """For a file of `file_bytes` that may declare up to `max_bytes` of tensors (see `declare_bytes`).

        There is time for as many objects as the file has room for, up to `max_objects`; and for what that limit is
        raised by, whatever the size of the file, so that a user can give more time.
        """
        objects = min(limits.max_objects, file_bytes // LEAST_OBJECT_BYTES)
        objects += max(0, limits.max_objects - Limits().max_objects)
        extra = file_bytes / BYTES_PER_EXTRA_SECOND + objects * SECONDS_PER_OBJECT
        largest = max(file_bytes, limits.max_bytes)
        return cls(
            cpu_seconds=BASE_CPU_SECONDS + int(extra),
            wall_seconds=BASE_WALL_SECONDS + extra,
            memory_bytes=_memory_for(file_bytes),
            memory_bytes_at_most=_memory_for(largest) + REPORT_RESERVE,
            result_bytes=largest + DOCUMENT_SLACK,
        )


def _memory_for(declared_bytes: int) -> int:
    return MEMORY_FACTOR * declared_bytes + MEMORY_SLACK


def apply(budget: Budget) -> None:
    """Limit this process. For the child only: there is no way back."""
    for number in (signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # ends the process, also inside C code
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + budget.cpu_seconds
    _limit(resource.RLIMIT_CPU, seconds, seconds + 2)
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_FSIZE, budget.result_bytes, budget.result_bytes)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)
    current = _address_space()
    if current is not None:
        _limit(resource.RLIMIT_AS, current + budget.memory_bytes, current + budget.memory_bytes_at_most)
    # The parent watches the wall time; this one is for a parent that was killed itself.
    signal.setitimer(signal.ITIMER_REAL, budget.wall_seconds + 2)


def declare_bytes(total: int) -> None:
    """Ask for the memory that `total` declared bytes of tensors need, for a file smaller than its content.

    A parser calls this once it has checked the total against `Limits.max_bytes`. It lifts the soft limit of the
    child; the hard limit, which follows from `max_bytes`, stays. Outside the child it does nothing.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    current = _address_space()
    if resource.RLIM_INFINITY in (soft, hard) or current is None:
        return
    wanted = min(current + _memory_for(total), hard - REPORT_RESERVE)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def lift_file_size() -> None:
    """Lift the soft limit of the shell on the size of files: the memory file is no file on a disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def release_reserve() -> None:
    """After memory ran out: lift the soft limit to the hard one, so that this can be reported."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _limit(which: int, soft: int, hard: int) -> None:
    """Set a limit, never above the one that is already in force."""
    _, old_hard = resource.getrlimit(which)
    if old_hard != resource.RLIM_INFINITY:
        soft, hard = min(soft, old_hard), min(hard, old_hard)
    resource.setrlimit(which, (soft, hard))


def _address_space() -> int | None:
    """Bytes of address space in use; None where the system does not say (no /proc): no limit on memory there."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 256).split()[0]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(descriptor)
