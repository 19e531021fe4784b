"""Target `nir`: writes a graph as NIR, and runs what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.files.checked import open_input
from norse_export.files.limits import Limits
from norse_export.formats.nir.load import load_nir
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.unsupported import unsupported
from norse_export.formats.nir.write import write
from norse_export.interpret import interpret
from norse_export.ir.graph import Graph
from norse_export.ir.stages import ContinuousNode
from norse_export.passes.discretise import discretise
from norse_export.target import Run, Stage


@dataclass(frozen=True, slots=True)
class NirTarget:
    """The Neuromorphic Intermediate Representation: NIR's physics exactly, and in metadata what it has no field for."""

    name: str = "nir"
    stage: Stage = Stage.CONTINUOUS
    suffix: str = ".nir"
    folder: bool = False
    description: str = "NIR 1.0.8, one HDF5 file: Norse's physics exactly; forward Euler, synapse first"

    def check(self, graph: Graph[ContinuousNode]) -> tuple[Finding, ...]:
        """Everything that NIR cannot express; empty: it can be written."""
        return unsupported(graph)

    def emit(self, graph: Graph[ContinuousNode], path: Path) -> None:
        """Write the graph to `path`; same graph, same bytes.

        Raises:
            UnsupportedError: NIR cannot express something in it; all findings are listed.
        """
        write(path, document_of_graph(graph))

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Read the file as a stranger's, and interpret it with the time step and in the float type that it names."""
        with open_input(artefact) as file:
            size = artefact.stat().st_size  # nothing in it is compressed, so that it declares no more than this
            limits = Limits(max_bytes=max(size, Limits().max_bytes))
            graph, _ = load_nir(file, name=str(artefact), limits=limits)
        return interpret(discretise(graph), inputs)

    def runners(self) -> tuple[str, ...]:
        """The interpreter, which is part of norse-export."""
        return ("interpreter",)
