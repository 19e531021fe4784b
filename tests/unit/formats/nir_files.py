"""NIR files with one thing changed, and what the reader says of them. Not tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir_documents as documents
import pytest

from norse_export.errors import ExportError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument
from norse_export.formats.nir.write import write

FC = "node/nodes/fc"
LIF = "node/nodes/lif"


def changed(tmp_path: Path, change: Callable[[h5py.File], Any], document: NIRDocument | None = None) -> Path:
    """A sound file after one change of its HDF5 content."""
    path = tmp_path / "changed.nir"
    write(path, document or documents.lif_chain())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(file: h5py.File, name: str, value: Any, **options: Any) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, data=value, **options)


def findings(path: Path, limits: Limits | None = None) -> list[tuple[str, str, str]]:
    with pytest.raises(ExportError) as caught:
        documents.read(path, limits)
    assert caught.value.exit_code == 2
    assert all(finding.fix for finding in caught.value.findings)
    return [(finding.kind, finding.where, finding.message) for finding in caught.value.findings]
