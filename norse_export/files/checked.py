"""Opens an input file so that nothing but a regular file is ever read, and opening never blocks."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from norse_export.errors import InputFileError


def open_input(path: Path) -> BinaryIO:
    """A regular file, open for reading from its start; the caller closes it. Its `name` is the path as given.

    The kind is looked at before the file is opened (opening a fifo would wake its writer), and again on the open
    descriptor (the name may have been given to something else meanwhile). O_NONBLOCK lets no open wait.

    Raises:
        InputFileError: missing, a folder, not a regular file, no permission, or not readable for another reason.
    """
    try:
        _refuse_irregular(os.stat(path).st_mode, path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a NUL byte in the name
        raise InputFileError(
            f"no such file: {error}", where=repr(str(path)), fix="give the name of a file", kind="missing"
        ) from error
    try:
        _refuse_irregular(os.fstat(descriptor).st_mode, path)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return open(path, "rb", opener=lambda _path, _flags: descriptor)


def name_of(file: BinaryIO) -> str:
    """The name to show for an open input: the path given to `open_input`, also inside the child process."""
    name = getattr(file, "name", None)
    return str(name) if isinstance(name, (str, Path)) else "the input file"


def _refuse_irregular(mode: int, path: Path) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise InputFileError(
            "the input is a directory, not a file", where=str(path), fix="give a file in it", kind="directory"
        )
    raise InputFileError(
        f"the input is not a regular file but {_kind_of_mode(mode)}",
        where=str(path),
        fix="write its content to a file first, and give that",
        kind="not_regular",
    )


def _kind_of_mode(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((text for is_kind, text in kinds if is_kind(mode)), "something else")


def _unreadable(path: Path, error: OSError) -> InputFileError:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            what, fix, kind = "no such file", "check the path", "missing"
        case errno.EACCES | errno.EPERM:
            what, fix, kind = "permission denied: the file cannot be read", "allow it: chmod u+r", "permission"
        case errno.ELOOP:
            what, fix, kind = "no such file: its symbolic links go round in a circle", "mend the links", "missing"
        case _:
            what = f"the file cannot be read: {error.strerror or error}"
            fix, kind = "check the disk or mount that holds it", "unreadable"
    return InputFileError(what, where=str(path), fix=fix, kind=kind)
