"""Turns what the system and h5py say when a write fails into one OutputError that names the output."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from norse_export.errors import OutputError

# What only writing can cause: these are converted wherever they come up while an output is written.
WRITING_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
# h5py's errors carry the system's number in their text, and not always as an attribute (h5py 3.16, HDF5 2.0).
_ERRNO_IN_TEXT = re.compile(r"\berrno = (\d+)\b")

_ANOTHER_FOLDER = "choose an output in a folder that you may write to"
_REMEDIES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the device", "free some space, or choose an output on another disk"),
    errno.EDQUOT: ("no space left in the disk quota", "free some space, or choose an output on another disk"),
    errno.EFBIG: ("the file is too large", "raise the limit of the shell (ulimit -f), or choose another file system"),
    errno.EIO: ("the device reports an error", "check the disk, or choose an output on another one"),
    errno.EROFS: ("the file system is read-only", _ANOTHER_FOLDER),
    errno.EACCES: ("permission denied", _ANOTHER_FOLDER),
    errno.EPERM: ("permission denied", _ANOTHER_FOLDER),
    errno.ENOENT: ("its folder does not exist", "create the folder first"),
    errno.ENOTDIR: ("what should be its folder is a file", "choose an output in a folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.EEXIST: (
        "it already exists (it appeared while it was being written)",
        "pass --force (in Python: force=True) to replace it",
    ),
    errno.ENOTEMPTY: (
        "it already exists (it appeared while it was being written)",
        "pass --force (in Python: force=True) to replace it",
    ),
    errno.EISDIR: ("it is a folder", "choose the name of a file"),
    errno.ELOOP: ("its symbolic links go round in a circle", "choose another output"),
}


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of writing into an OutputError about `path`, which is the output's own name.

    Converted are every OSError with a number, and the OSError and RuntimeError of h5py that have it in their text.

    Raises:
        OutputError: the body failed to write.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = errno_of(error)
        if number is None:
            raise
        raise output_error(path, number) from error


@contextmanager
def reporting_only_write_errors(path: Path) -> Iterator[None]:
    """Like `reporting_write_errors`, but lets through what reading or a bug can cause too: a missing file, say."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = errno_of(error)
        if number not in WRITING_ERRNOS:
            raise
        raise output_error(path, number) from error


def errno_of(error: BaseException) -> int | None:
    """The system's error number in an exception, from its attribute or from the text that HDF5 gives it."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    found = _ERRNO_IN_TEXT.search(str(error))
    return int(found[1]) if found else None


def output_error(path: Path, number: int) -> OutputError:
    """The error for an output that cannot be written for the reason of that number."""
    reason, fix = _REMEDIES.get(number, (os.strerror(number), _ANOTHER_FOLDER))
    kind = {errno.EEXIST: "exists", errno.ENOTEMPTY: "exists"}.get(number)
    return OutputError(f"cannot write the output: {reason}", where=str(path), fix=fix, kind=kind)
