"""A .nir file -> continuous graph. The file is read in the limited child process."""

from __future__ import annotations

from dataclasses import asdict
from typing import BinaryIO

from norse_export.errors import Finding
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode
from norse_export.ir.step_choice import StepChoice

from .hdf5 import document_of
from .to_graph import graph_of_document

_PARSER = "norse_export.formats.nir.hdf5:parse"


def load_nir(
    file: BinaryIO, *, name: str, limits: Limits, choice: StepChoice | None = None
) -> tuple[Graph[ContinuousNode], tuple[Finding, ...]]:
    """Read an open .nir file of any framework; give its graph, and warnings and notes about it.

    name: of the file, for messages. choice: how its physics becomes steps, where it does not say it.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UsageError, UnsupportedError, GraphError: as `graph_of_document`.
    """
    parsed = parse_in_child(_PARSER, file, name=name, limits=limits)
    loaded = graph_of_document(document_of(parsed.document, parsed.arrays), **asdict(choice or StepChoice()))
    return loaded.graph, loaded.findings
