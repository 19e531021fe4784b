"""A folder of our own beside an output, in which it is made; and the sweeping of those that killed runs left.

    .{name}.{16 hex digits}.norse-export.tmp/    mode 0700, locked (flock) for as long as its run lives
        new/{name}                               what is being written, under its final name
        old/{name}                               a folder that is being replaced, where it must step aside

A folder rather than a file: HDF5 locks the file that it writes, so that a lock of ours on it would keep h5py out;
and whatever a writer does to the file in it (truncate, rename over it), the lock stays valid.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".norse-export.tmp"
_RANDOM_BYTES = 8
# Room for the dots, the random part and the suffix in the 255 bytes that file systems give a name.
_LONGEST_NAME_BYTES = 200
_ATTEMPTS = 100
# File systems that know no flock on folders (some network mounts): no lock, and then no sweeping either.
_CANNOT_LOCK = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


@dataclass(frozen=True, slots=True)
class Workspace:
    """A locked folder beside `target`, in which the output is made."""

    target: Path
    folder: Path
    lock: int

    @property
    def made(self) -> Path:
        """Where the output is made, under its final name."""
        return self.folder / "new" / self.target.name

    @property
    def aside(self) -> Path:
        """Where an old folder steps aside."""
        return _aside(self.folder, self.target)

    def close(self) -> None:
        """Remove the folder with all that is left in it, and give up the lock. Never raises an error of its own."""
        try:
            _clear(self.folder, self.target)
        except BaseException:  # a Ctrl-C just now must not leave half of it
            _clear(self.folder, self.target)
            raise
        finally:
            os.close(self.lock)


def open_workspace(target: Path) -> Workspace:
    """Make a workspace for an output; the caller closes it.

    Raises:
        OSError: it cannot be made.
    """
    folder, lock = _create(target)
    space = Workspace(target, folder, lock)
    try:
        space.made.parent.mkdir()
        space.aside.parent.mkdir()
    except BaseException:
        space.close()
        raise
    return space


def recover(target: Path) -> None:
    """Sweep what killed runs left beside `target`, for that name only, and put back a folder that stepped aside.

    Left alone: other names, what a living run holds, what belongs to another user, and what is no folder.
    """
    for stale in _leftovers(target):
        with suppress(OSError), _locked_by_nobody(stale):
            _clear(stale, target)


def _aside(folder: Path, target: Path) -> Path:
    return folder / "old" / target.name


def _clear(folder: Path, target: Path) -> None:
    """Remove a workspace; a folder that stepped aside goes back first, unless the new one has its name."""
    aside = _aside(folder, target)
    if os.path.lexists(aside) and not os.path.lexists(target):
        with suppress(OSError):
            os.rename(aside, target)
        if os.path.lexists(aside):
            return  # nothing is lost: the next run tries again
    remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, following no link. What cannot be removed stays for the next run to sweep."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:  # a folder without write permission keeps its files
            inner = os.path.join(parent, name)
            if not os.path.islink(inner):
                with suppress(OSError):
                    os.chmod(inner, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _stem(target: Path) -> str:
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONGEST_NAME_BYTES else hashlib.sha256(name).hexdigest()


def _create(target: Path) -> tuple[Path, int]:
    """Make and lock a new folder. A sweep by another run may come between the two: then the next one is tried."""
    lost: OSError | None = None
    for _ in range(_ATTEMPTS):
        folder = target.parent / f".{_stem(target)}.{secrets.token_hex(_RANDOM_BYTES)}{SUFFIX}"
        try:
            folder.mkdir(mode=0o700)
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError) as error:
            if not target.parent.is_dir():
                raise
            lost = error
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
    raise OSError(errno.EBUSY, "no temporary folder could be locked", str(target.parent)) from lost


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock on a folder that still stands under its name.

    Raises:
        BlockingIOError: another process holds it.
        FileNotFoundError: the folder is gone.
    """
    descriptor = _open_folder(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                raise
        os.lstat(folder)  # names are random: what stands there is this folder, or nothing
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _locked_by_nobody(folder: Path) -> Iterator[None]:
    """Hold the lock of a leftover.

    Raises:
        OSError: it is held, cannot be locked, or the folder is gone.
    """
    descriptor = _open_folder(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _leftovers(target: Path) -> list[Path]:
    """Folders of ours beside `target` that were made for its name, by this user."""
    pattern = re.compile(
        rf"\.{re.escape(_stem(target))}\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}{re.escape(SUFFIX)}", re.DOTALL
    )
    try:
        with os.scandir(target.parent) as entries:
            candidates = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
        return [path for path in candidates if _is_our_folder(path.lstat())]
    except OSError:  # no such folder, or not to be listed: nothing to sweep; writing will say what is wrong
        return []


def _is_our_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
