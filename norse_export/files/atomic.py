"""Output that appears whole or not at all: made in a folder beside it, synced, then given its name in one step.

A run that is killed leaves the old output or the new one, never a part; what it leaves beside it is swept by the
next run that writes to the same name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from norse_export.errors import OutputError
from norse_export.files.rename import publish_file, swap
from norse_export.files.workspace import Workspace, open_workspace, recover
from norse_export.files.write_errors import output_error, reporting_only_write_errors, reporting_write_errors

__all__ = ["check_output", "reporting_write_errors", "writing_file", "writing_folder"]


def check_output(path: Path, *, force: bool, inputs: Iterable[Path] = (), folder: bool = False) -> None:
    """Refuse an output that cannot or must not be written, before any work is done for it.

    Sweeps what a killed run left for this name. With `folder` the output is a folder, else a file.

    Raises:
        OutputError: it exists and `force` is not given; it is a symbolic link, of the wrong kind, or one of `inputs`;
            its folder is missing or must not be written to.
    """
    if "\0" in str(path):
        raise OutputError(
            "cannot write the output: a NUL in its name", where=repr(str(path)), fix="choose another name"
        )
    with reporting_write_errors(path):
        place = _place(path)
        recover(place)
        _check_existing(place, path, inputs=tuple(inputs), folder=folder)
        if os.path.lexists(place) and not force:
            raise OutputError(
                "the output already exists",
                where=str(path),
                fix="pass --force (in Python: force=True) to replace it",
                kind="exists",
            )
        _check_parent(place.parent, path)


@contextmanager
def writing_file(path: Path, *, force: bool = False, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a path to write the file to; it becomes `path` when the body ends, and is removed when it raises.

    The temporary has the final name, in a folder of our own beside `path`. The body creates it (mode by umask).
    Without `force` a file that appears under `path` meanwhile is never overwritten.

    Raises:
        OutputError: as `check_output`; or writing failed (no space, too large, permission, device).
        RuntimeError: the body left no file there: our bug.
    """
    check_output(path, force=force, inputs=inputs)
    with _workspace(path) as space:
        with reporting_only_write_errors(path):
            yield space.made
        if not space.made.is_file() or space.made.is_symlink():
            raise RuntimeError(f"nothing was written to the temporary of {path}")
        with reporting_write_errors(path):
            _sync(space.made)
            if force:
                os.replace(space.made, space.target)
            else:
                publish_file(space.made, space.target)
            _sync_folder(space.target.parent)


@contextmanager
def writing_folder(path: Path, *, force: bool = False, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a new, empty folder to write to; it becomes `path` as one when the body ends, or is removed.

    With `force` an old folder is exchanged for the new one in one step (Linux), then removed. Where there is no such
    step the old one is first renamed into the temporary folder, from where the next run restores it should this one
    be killed in between.

    Raises:
        OutputError: as `check_output`; or writing failed (no space, too large, permission, device).
    """
    check_output(path, force=force, inputs=inputs, folder=True)
    with _workspace(path) as space:
        with reporting_write_errors(path):
            space.made.mkdir()
        with reporting_only_write_errors(path):
            yield space.made
        with reporting_write_errors(path):
            _sync_tree(space.made)
            if force and os.path.lexists(space.target):
                _replace_folder(space)
            else:
                os.rename(space.made, space.target)  # fails on whatever appeared meanwhile, but for an empty folder
            _sync_folder(space.target.parent)


@contextmanager
def _workspace(path: Path) -> Iterator[Workspace]:
    """The temporary folder; errors of making it are converted, those of the body are the body's."""
    with reporting_write_errors(path):
        space = open_workspace(_place(path))
    try:
        yield space
    finally:
        space.close()


def _replace_folder(space: Workspace) -> None:
    """Closing the workspace puts the old folder back, should only the first rename be done."""
    if not swap(space.made, space.target):
        os.rename(space.target, space.aside)
        os.rename(space.made, space.target)


def _place(path: Path) -> Path:
    """Absolute, so that the output stays the same one should the current folder change."""
    return Path(os.path.abspath(path))


def _check_parent(parent: Path, path: Path) -> None:
    if not parent.exists():
        raise OutputError(
            "cannot write the output: its folder does not exist",
            where=str(path),
            fix=f"create it first: mkdir -p {parent}",
            kind="no_folder",
        )
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise output_error(path, errno.EACCES)


def _check_existing(place: Path, path: Path, *, inputs: tuple[Path, ...], folder: bool) -> None:
    """Refuse what must not be replaced even with --force."""
    try:
        status = os.lstat(place)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise OutputError(
            "the output is a symbolic link, and nothing is written through a link",
            where=str(path),
            fix="remove the link, or give the name that it points to",
            kind="symlink",
        )
    if any(_is_same(source, status) for source in inputs):
        raise OutputError(
            "the output is the same file as the input", where=str(path), fix="choose another output", kind="same_file"
        )
    if folder:
        _check_folder(status, place, path, inputs)
    elif stat.S_ISDIR(status.st_mode):
        raise OutputError(
            "the output is a directory, where a file is written",
            where=str(path),
            fix=f"give the name of a file in it, such as {path / 'model.nir'}",
            kind="directory",
        )
    elif not stat.S_ISREG(status.st_mode):
        raise OutputError(
            "cannot write the output: it is not a regular file",
            where=str(path),
            fix="choose another name",
            kind="not_regular",
        )


def _check_folder(status: os.stat_result, place: Path, path: Path, inputs: tuple[Path, ...]) -> None:
    """A folder is removed when it is replaced, so nothing that the user may need besides must be in it."""
    if not stat.S_ISDIR(status.st_mode):
        raise OutputError(
            "the output is a file, where a folder is written",
            where=str(path),
            fix="choose another name, or remove the file",
            kind="not_directory",
        )
    inside = os.path.realpath(place)
    if any(_contains(inside, source) for source in inputs):
        raise OutputError(
            "the input is inside the output folder, which would be replaced",
            where=str(path),
            fix="choose another output",
            kind="same_file",
        )
    if os.path.ismount(place) or any(_contains(inside, used) for used in (".", os.path.expanduser("~"))):
        raise OutputError(
            "the output folder holds the current or the home folder, or is a mount: it is not replaced",
            where=str(path),
            fix="choose a new folder for the output",
            kind="in_use",
        )


def _is_same(source: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(source), status)
    except (OSError, ValueError):  # an input that is missing is reported by whoever opens it
        return False


def _contains(folder: str, inner: Path | str) -> bool:
    real = os.path.realpath(inner)
    return os.path.commonpath([folder, real]) == folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a new name durable. Some file systems and permissions do not let a folder be opened or synced."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.EBADF):
            raise


def _sync_tree(top: Path) -> None:
    for folder, _, names in os.walk(top, topdown=False):
        for name in names:
            _sync(Path(folder, name))
        _sync_folder(Path(folder))
