"""Target `spinnaker`: a folder with the network as data, a PyNN script that deploys it, and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from norse_export.errors import ExportError, Finding
from norse_export.files.checked import open_input
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.interpret.fixed import emulate
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, FixedNode
from norse_export.passes.lowered import InputRange
from norse_export.passes.quantise import QuantiseChoice, Quantised
from norse_export.target import Stage

from . import limits, report
from .artefact import Network, read, told, write
from .lower import lower

NETWORK, SCRIPT, REPORT = "network.safetensors", "deploy.py", "report.json"
RASTER_KEY = "norse_export_spinnaker_raster"


@dataclass(frozen=True, slots=True)
class SpinnakerTarget:
    """SpiNNaker through sPyNNaker: bit-exact to the code that runs on the chip.

    states: `run` records every state and observable after every step.
    """

    name: str = "spinnaker"
    stage: Stage = Stage.FIXED
    suffix: str = ".spinnaker"
    folder: bool = True
    description: str = "SpiNNaker, sPyNNaker 7.4.1: IF_curr_exp and IF_curr_delta in s16.15, deployed by a PyNN script"
    states: bool = False

    def lower(
        self,
        graph: Graph[DiscreteNode],
        choice: QuantiseChoice | None = None,
        calibration: Mapping[str, NDArray[Any]] | None = None,
        *,
        ranges: Mapping[str, InputRange] | None = None,
    ) -> Quantised:
        """Give the network as the chip computes it: see lower.py."""
        return lower(graph, choice, calibration, ranges=ranges)

    def check(self, graph: Graph[FixedNode]) -> tuple[Finding, ...]:
        """Every limit of the chip that is broken, and what a user should know."""
        try:
            told(graph)
            all_ranges(graph)
        except ExportError as error:
            return error.findings
        return tuple(limits.findings(limits.usage(graph)))

    def emit(self, graph: Graph[FixedNode], path: Path) -> None:
        """Write network, script and report into a folder; same graph, same bytes.

        Raises:
            GraphError: the graph is not under the chip's law.
        """
        use = limits.usage(graph)
        with (path / NETWORK).open("wb") as file:
            write(file, graph, use)
        (path / SCRIPT).write_bytes(Path(__file__).with_name(SCRIPT).read_bytes())
        document = report.document(graph, use)
        (path / REPORT).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")

    def run(self, artefact: Path, inputs: Mapping[str, NDArray[Any]]) -> Run:
        """Replay the network of the folder under the chip's law, from the words that the chip would be loaded with."""
        network = load(artefact)
        done = emulate(network.graph, inputs, states=self.states)
        return replace(done, ran_by="our emulation of sPyNNaker 7.4.1's neurons, from the artefact; no chip")

    def runners(self) -> tuple[str, ...]:
        """The emulation, which is part of norse-export."""
        return ("emulation",)


def load(artefact: Path) -> Network:
    """Read what `emit` wrote.

    Raises:
        InputFileError, LimitError, GraphError: it is damaged, or no such folder.
    """
    path = artefact / NETWORK
    with open_input(path) as file:
        size = max(path.stat().st_size, Limits().max_bytes)  # nothing in it is compressed
        return read(file, name=str(path), limits=Limits(max_bytes=size))


def write_raster(artefact: Path, inputs: Mapping[str, NDArray[Any]], path: Path, *, sample: int = 0) -> None:
    """Write one sample of rasters [T, B, *shape] for deploy.py, with the spikes and membranes to expect of the chip.

    The file has, for each label, input.<label> and spikes.<label> [T, n], bool, and v.<label> [T, n], int32 in s16.15,
    of layers that are read by their membranes.
    """
    network = load(artefact)
    one = {name: raster[:, sample : sample + 1] for name, raster in inputs.items()}
    done = emulate(network.graph, one, states=True)
    arrays = {}
    for name, label in network.labels.items():
        node = network.graph.nodes[name]
        if not isinstance(node, Population):
            arrays[f"input.{label}"] = one[name].astype(bool).reshape(len(one[name]), -1)
        elif node.spikes:
            arrays[f"spikes.{label}"] = done.spikes[name].astype(bool).reshape(len(done.spikes[name]), -1)
        else:
            seen = done.observables[name]["v_rec"]
            arrays[f"v.{label}"] = seen.astype("int32").reshape(len(seen), -1)
    with path.open("wb") as file:
        safetensors_file.write(file, arrays, {RASTER_KEY: json.dumps({"format": 1})})


__all__ = ["SpinnakerTarget", "load", "write_raster"]
