"""Writes one version after the other to the same name until it is killed: what a kill -9 can hit.

    python endless_writer.py file|folder|renames PATH

`renames` writes a folder as where the system cannot exchange two names in one step.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from norse_export.files import rename
from norse_export.files.atomic import writing_file, writing_folder

PIECE_BYTES = 2**18
PIECES = 8
FILES = 6


def write_file(path: Path, version: int) -> None:
    with path.open("wb") as file:
        for _ in range(PIECES):
            file.write(bytes([version]) * PIECE_BYTES)
            file.flush()


def write_folder(path: Path, version: int) -> None:
    for number in range(FILES):
        (path / str(number)).write_bytes(bytes([version]) * PIECE_BYTES)


def main(way: str, path: Path) -> None:
    if way == "renames":
        rename._renameat2 = lambda *_: False  # type: ignore[assignment]
    for version in itertools.cycle(range(1, 256)):
        if way == "file":
            with writing_file(path, force=True) as temporary:
                write_file(temporary, version)
        else:
            with writing_folder(path, force=True) as temporary:
                write_folder(temporary, version)
        print(version, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
