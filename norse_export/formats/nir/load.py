"""A .nir file -> continuous graph. The file is read in the limited child process."""

from __future__ import annotations

from typing import BinaryIO

from norse_export.errors import Finding
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode

from .hdf5 import document_of
from .to_graph import graph_of_document

_PARSER = "norse_export.formats.nir.hdf5:parse"


def load_nir(
    file: BinaryIO, *, name: str, limits: Limits, dt: float | None = None, override: bool = False
) -> tuple[Graph[ContinuousNode], tuple[Finding, ...]]:
    """Read an open .nir file of any framework; give its graph, and warnings and notes about it.

    name: of the file, for messages. dt, override: as in `graph_of_document`.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UsageError, UnsupportedError, GraphError: as `graph_of_document`.
    """
    parsed = parse_in_child(_PARSER, file, name=name, limits=limits)
    loaded = graph_of_document(document_of(parsed.document, parsed.arrays), dt=dt, override=override)
    return loaded.graph, loaded.findings
