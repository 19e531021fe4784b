"""Renames that never overwrite by accident, and an exchange in one step where the system has it."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

# linux/fs.h and linux/fcntl.h
_RENAME_NOREPLACE, _RENAME_EXCHANGE, _AT_FDCWD = 1, 2, -100
_NOT_HERE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
# link(2): file systems without hard links, or with a full count of them.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


def publish_file(made: Path, target: Path) -> None:
    """Give a finished file its name, which must be free; afterwards it may still have the old name too.

    Raises:
        FileExistsError: something stands under `target`.
    """
    try:
        os.link(made, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not _renameat2(made, target, _RENAME_NOREPLACE):
            # The best that is left: between these two lines another process could still put a file there.
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            os.rename(made, target)


def swap(first: Path, second: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    return _renameat2(first, second, _RENAME_EXCHANGE)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """renameat2(2), in glibc since 2.28; False where it does not exist. Raises OSError when it fails otherwise."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), ctypes.c_uint(flags)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(target))
