"""Whether a folder that stands where an artefact is to be written may be replaced: only what a target wrote into it."""

from __future__ import annotations

import os
from pathlib import Path

from norse_export.errors import OutputError
from norse_export.files.write_errors import reporting_write_errors
from norse_export.target import Target


def require_replaceable(path: Path, target: Target) -> None:
    """Refuse a folder with anything in it that is no file of this target's artefacts: it would be lost.

    Raises:
        OutputError: it holds something else.
    """
    if not target.folder or path.is_symlink() or not path.is_dir():
        return
    own: frozenset[str] = getattr(target, "files", frozenset())
    with reporting_write_errors(path), os.scandir(path) as entries:
        strange = sorted(entry.name for entry in entries if not (_is_own(entry, own) or _is_compiled(entry)))
    if strange:
        others = "" if len(strange) == 1 else f" and {len(strange) - 1} more"
        reason = "which is no file of an export to" if own else "and nobody knows which files are those of"
        raise OutputError(
            f"the folder exists and holds {strange[0]!r}{others}, {reason} {target.name}: "
            "to replace the folder would delete what is in it",
            where=str(path),
            fix=f"give a new name, such as {path / f'model{target.suffix}'}, or move away what is in the folder",
            kind="not_ours",
        )


def _is_own(entry: os.DirEntry[str], own: frozenset[str]) -> bool:
    return entry.name in own and entry.is_file(follow_symlinks=False)


def _is_compiled(entry: os.DirEntry[str]) -> bool:
    """Whether it is what Python leaves beside a script that was run, and nothing more."""
    if entry.name != "__pycache__" or not entry.is_dir(follow_symlinks=False):
        return False
    with os.scandir(entry.path) as inside:
        return all(one.name.endswith(".pyc") and one.is_file(follow_symlinks=False) for one in inside)
