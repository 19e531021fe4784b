"""Whether a folder that stands where an artefact is to be written may be replaced: only what a target wrote into it."""

from __future__ import annotations

import os
from pathlib import Path

from norse_export.errors import OutputError
from norse_export.files.write_errors import reporting_write_errors
from norse_export.target import Target

_LEFT = "__pycache__"  # what Python leaves beside a script that was run


def require_replaceable(path: Path, target: Target) -> None:
    """Refuse a folder with anything in it that is no file of this target's artefacts: it would be lost.

    Raises:
        OutputError: it holds something else.
    """
    if not target.folder or path.is_symlink() or not path.is_dir():
        return
    own: frozenset[str] = getattr(target, "files", frozenset())
    with reporting_write_errors(path), os.scandir(path) as entries:
        strange = sorted(
            entry.name
            for entry in entries
            if entry.name != _LEFT and not (entry.name in own and entry.is_file(follow_symlinks=False))
        )
    if strange:
        others = "" if len(strange) == 1 else f" and {len(strange) - 1} more"
        raise OutputError(
            f"the folder exists and holds {strange[0]!r}{others}, which is no file of an export to {target.name}: "
            "to replace the folder would delete it",
            where=str(path),
            fix=f"give a new name, such as {path / f'model{target.suffix}'}, or move away what is in the folder",
            kind="not_ours",
        )
