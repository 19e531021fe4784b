"""What was written: name, digest and size of an artefact."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Self

from norse_export.files.digest import file_digest
from norse_export.report.results import Artefact


def artefact_of(path: Path) -> Artefact:
    """Name, digest and size of what was written."""
    return Artefact(str(path), *_content(path))


class Digesting:
    """Digests a new file in a thread, while it is forced to the disk; it is opened before it takes its name."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        if self._file is not None:
            self._file.close()

    def start(self, path: Path) -> None:
        """Begin; a folder is left for later."""
        if path.is_file():
            self._file = path.open("rb")
            self._digest = self._thread.submit(file_digest, self._file)

    def artefact(self, path: Path) -> Artefact:
        """What was written, under the name that it has now."""
        if self._file is None:
            return artefact_of(path)
        return Artefact(str(path), *self._digest.result())


def _content(path: Path) -> tuple[str, int]:
    """sha256 and size of a file; of a folder, over the list of its files' names and sha256 sums."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        digests = [(str(file.relative_to(path)), *_content(file)) for file in files]
        listing = "".join(f"{sha256}  {name}\n" for name, sha256, _ in digests)
        return hashlib.sha256(listing.encode()).hexdigest(), sum(size for *_, size in digests)
    with path.open("rb") as file:
        return file_digest(file)
