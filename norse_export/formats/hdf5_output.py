"""Writing HDF5 so that a full disk is an error message.

When a write fails, the HDF5 library fails again on closing the file, and may crash the process. So it is given a file
that never fails: after the first error nothing more is written, and the error is raised once the library is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class _Sink:
    """A binary file as h5py's driver for Python objects uses it; it keeps its first error to itself."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.position = 0
        self.failed: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the end is that of the file."""
        if whence == os.SEEK_END:
            offset += os.fstat(self.descriptor).st_size
        elif whence == os.SEEK_CUR:
            offset += self.position
        self.position = offset
        return offset

    def tell(self) -> int:
        """The position."""
        return self.position

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; h5py takes an object that has this for a file."""
        found = os.pread(self.descriptor, size if size >= 0 else 1 << 30, self.position)
        self.position += len(found)
        return found

    def readinto(self, buffer: Any) -> int:
        """Read what is there; what is missing, because it could not be written, is zeros."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self.descriptor, len(view), self.position)
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        self.position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """Write all of it, or nothing more from now on."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.failed is None and done < len(view):
                done += os.pwrite(self.descriptor, view[done:], self.position + done)
        except OSError as error:
            self.failed = error
        self.position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        size = self.position if size is None else size
        try:
            if self.failed is None:
                os.ftruncate(self.descriptor, size)
        except OSError as error:
            self.failed = error
        return size

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def writing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Make or empty the file at `path` and yield it as HDF5 with fixed bounds of its format.

    Raises:
        OSError: the file could not be written: no space, too large, device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        sink = _Sink(descriptor)
        try:
            with h5py.File(sink, "w", libver=("earliest", "v110")) as hdf5:
                yield hdf5
        except (OSError, RuntimeError, ValueError):  # what h5py makes of a file that lost what was written to it
            if sink.failed is None:
                raise
        if sink.failed is not None:
            raise sink.failed
    finally:
        os.close(descriptor)
