"""Target `onnx`: writes a discrete graph as ONNX, and runs what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from norse_export.errors import ExportError, Finding, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.onnx.files import LARGEST_OPSET, LEAST_OPSET, SCAN, STEP, models_of, write_folder
from norse_export.formats.onnx.read import is_ours, read_onnx
from norse_export.formats.onnx.write import DATA
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Input, Linear, Output
from norse_export.ir.rasters import checked_inputs
from norse_export.target import Run, Stage

from .runner import installed, run_models, runner_for


@dataclass(frozen=True, slots=True)
class OnnxTarget:
    """ONNX: each neuron a local function with its program as body; one step, and that step under a Scan over time.

    opset: version of the standard operators. states: `run` records every state after every step. fixed: whole numbers,
    as `sim` computes them; the stage is then that of fixed graphs.
    """

    name: str = "onnx"
    stage: Stage = Stage.DISCRETE
    suffix: str = ".onnx"
    folder: bool = True
    description: str = "ONNX, IR 10: neurons as local functions; a model of one step, and a Scan over time"
    opset: int = LEAST_OPSET
    states: bool = False
    fixed: bool = False
    files: ClassVar[frozenset[str]] = frozenset({SCAN, STEP, DATA})

    def __post_init__(self) -> None:
        object.__setattr__(self, "stage", Stage.FIXED if self.fixed else Stage.DISCRETE)
        if not LEAST_OPSET <= self.opset <= LARGEST_OPSET:
            fix = f"use {LEAST_OPSET} to {LARGEST_OPSET}"
            raise UsageError(f"opset {self.opset} is not supported", where="--opset", fix=fix, kind="opset")

    def check(self, graph: Graph[Any]) -> tuple[Finding, ...]:
        """Everything that a model cannot hold; empty: it can be written."""
        found = [*_missing_ends(graph), *_impossible_names(graph)]
        if self.fixed and not found:
            try:
                all_ranges(graph)
            except ExportError as error:
                found += error.findings
        return tuple(found)

    def emit(self, graph: Graph[Any], path: Path) -> None:
        """Write both models into the folder `path`; same graph, same bytes."""
        write_folder(graph, path, opset=self.opset)

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Run both models of a folder, or a Scan model alone; they have to agree bit for bit."""
        graph, opset = read_onnx(artefact, _limits(artefact))
        step, _ = models_of(graph, opset=opset)
        rasters = {
            name: raster.astype(step.inputs[name].dtype, copy=False)
            for name, raster in checked_inputs(graph, inputs).items()
        }
        steps, samples = next(iter(rasters.values())).shape[:2]
        operations = 3.0 * steps * samples * sum(map(_products, graph.nodes.values()))
        return run_models(artefact, step, rasters, runner_for(operations), states=self.states)

    def holds(self, path: Path) -> bool:
        """Whether a folder has a Scan model of ours, or a file is a model of ours."""
        return is_ours(path / SCAN if path.is_dir() else path)

    def read(self, path: Path, limits: Limits) -> Graph[Any]:
        """The graph in a folder, or in a Scan model alone.

        Raises:
            InputFileError, LimitError, GraphError, UnsupportedError: see formats/onnx/read.py.
        """
        return read_onnx(path, limits)[0]

    def recorded(self, path: Path) -> None:
        """A folder of this target holds no rasters."""

    def runners(self) -> tuple[str, ...]:
        """onnxruntime where it is installed, and onnx's own evaluator for small models."""
        return (*(("onnxruntime",) if installed() else ()), "onnx reference evaluator")


def _missing_ends(graph: Graph[Any]) -> Iterator[Finding]:
    for end, kinds in (("input", (Input, FixedInput)), ("output", (Output,))):
        if not any(isinstance(node, kinds) for node in graph.nodes.values()):
            message = f"the graph has no {end}: a model needs one"
            yield Finding(f"no_{end}", "error", "the graph", message, f"let the model have an {end}")


def _impossible_names(graph: Graph[Any]) -> Iterator[Finding]:
    for name in graph.nodes:
        if not name or name != name.encode("utf-8", "replace").decode():
            message = f"a layer is called {name!a}, which ONNX takes for no name"
            yield Finding("name", "error", ascii(name), message, "give it a name of Unicode characters")


def _limits(artefact: Path) -> Limits:
    """As much as the files have bytes: nothing in them is compressed."""
    files = artefact.iterdir() if artefact.is_dir() else (artefact, artefact.parent / DATA)
    size = sum(file.stat().st_size for file in files if file.is_file())
    return Limits(max_bytes=max(2 * size, Limits().max_bytes))


def _products(node: Any) -> float:
    """Multiplications of a step, roughly."""
    match node:
        case Linear() | DenseSynapses():
            return float(node.weight.size)
        case Conv():
            return float(node.weight.size) * prod(node.output_shape[1:])
        case ConvSynapses():
            return float(node.weight.size) * prod(node.map_shape[1:])
        case _:
            return 10.0 * float(prod(node.output_shape))
