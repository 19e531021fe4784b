"""What a folder holds of a run: the rasters that were played, and the spikes and membranes to expect of the chip.

recording.safetensors    what deploy.py reads and plays. For each label: input.<label> and spikes.<label> [T, B, n],
                         bool; of a layer that is read by its membrane v.<label> [T, B, n], int32 in s16.15
expected.nir             the same and every state that was recorded, as NIR graph data, for people and other tools
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.files import strict_json
from norse_export.files.checked import name_of, open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.fixed_codec import corrupt
from norse_export.formats.hdf5_names import name_fault
from norse_export.formats.traces import SPIKES, TraceNode, write
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run

from .reading import Network

Array = NDArray[Any]
PLAYED, EXPECTED = "recording.safetensors", "expected.nir"
KEY = "norse_export_spinnaker_recording"
FORMAT = 1
MOST_SAMPLES = 8
_TAP = "membrane of "


def write_recording(folder: Path, network: Network, inputs: Mapping[str, Array], run: Run) -> None:
    """Add to a folder the first MOST_SAMPLES of rasters [T, B, *shape], and what a run of its network did on them."""
    few, kept = {name: raster[:, :MOST_SAMPLES] for name, raster in inputs.items()}, _first(run)
    membranes = _membranes(network.graph, few, kept)
    with (folder / PLAYED).open("wb") as file:
        write_played(file, network, few, kept.spikes, membranes)
    write(folder / EXPECTED, _traced(network, few, kept, membranes), {"ran_by": run.ran_by})


def write_played(
    file: Any,
    network: Network,
    inputs: Mapping[str, Array],
    spikes: Mapping[str, Array],
    membranes: Mapping[str, Array],
) -> None:
    """Write what deploy.py plays and expects: rasters, spikes and membranes, each [T, B, *shape]."""
    arrays = {}
    for name, label in network.labels.items():
        node = network.graph.nodes[name]
        if isinstance(node, FixedInput):
            arrays[f"input.{label}"] = _flat(inputs[name]).astype(bool)
        elif name in membranes:
            arrays[f"v.{label}"] = _flat(membranes[name]).astype(np.int32)
        else:
            arrays[f"spikes.{label}"] = _flat(spikes[name]).astype(bool)
    safetensors_file.write(file, arrays, {KEY: json.dumps({"format": FORMAT})})


def expected(network: Network, inputs: Mapping[str, Array]) -> tuple[Run, dict[str, Array]]:
    """A run of the network, and the membranes of the layers that are read by them, as the chip records them."""
    graph = network.graph
    taps = {_TAP + name: name for name, node in graph.nodes.items() if isinstance(node, Population) and not node.spikes}
    outputs = {tap: Output(graph.nodes[name].output_shape) for tap, name in taps.items()}
    edges = (*graph.edges, *(Edge(name, tap) for tap, name in taps.items()))
    run = emulate(Graph({**graph.nodes, **outputs}, edges, graph.metadata), inputs)
    units: Any = {name: graph.nodes[name] for name in taps.values()}
    membranes = {name: np.rint(run.outputs[tap] / units[name].unit["v"]).astype(np.int64) for tap, name in taps.items()}
    return replace(run, outputs={key: value for key, value in run.outputs.items() if key not in taps}), membranes


def read_recording(folder: Path, network: Network, limits: Limits) -> dict[str, Array] | None:
    """The rasters [T, B, *shape] of a folder's recording, bool; None where it has none.

    Raises:
        InputFileError, LimitError: it is damaged, or of another network.
    """
    path = folder / PLAYED
    if not path.exists():
        return None
    with open_input(path) as file:
        header = parse_in_child(f"{__name__}:parse", file, name=str(path), limits=limits).document
        arrays = safetensors_file.read_tensors(file, header)
    rasters = {}
    for name, label in network.labels.items():
        node = network.graph.nodes[name]
        if isinstance(node, FixedInput):
            raster = arrays.get(f"input.{label}", np.zeros(0))
            if raster.ndim != 3 or raster.dtype != bool or raster.shape[2] != np.prod(node.shape) or not raster.size:
                raise corrupt(f"no raster for the input {name!r} of the network beside it", str(path))
            rasters[name] = raster.reshape(*raster.shape[:2], *node.shape)
    if len({raster.shape[:2] for raster in rasters.values()}) > 1:
        raise corrupt("rasters of different numbers of steps or samples", str(path))
    return rasters


def parse(file: Any, limits: Limits) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read the texts of a recording, in the limited child process."""
    header, arrays = safetensors_file.parse_header(file, limits)
    where = name_of(file)
    if KEY not in header["metadata"]:
        raise corrupt("it holds tensors, but no recording for the chip", where)
    if strict_json.loads(header["metadata"].pop(KEY), where=where, limits=limits) != {"format": FORMAT}:
        raise corrupt(f"its format is not {FORMAT}, which this version reads", where)
    return header, arrays


def _flat(raster: Array) -> Array:
    return raster.reshape(*raster.shape[:2], -1)


def _first(run: Run) -> Run:
    """The first samples of a run."""
    spikes, outputs = (
        {name: raster[:, :MOST_SAMPLES] for name, raster in held.items()} for held in (run.spikes, run.outputs)
    )
    observables = {
        name: {key: raster[:, :MOST_SAMPLES] for key, raster in held.items()} for name, held in run.observables.items()
    }
    return Run(spikes, outputs, run.ran_by, observables)


def _membranes(graph: Graph[Any], inputs: Mapping[str, Array], run: Run) -> dict[str, Array]:
    """Raw membranes [T, B, *shape], as the chip records them, of the layers that are read by them."""
    read = [name for name, node in graph.nodes.items() if isinstance(node, Population) and not node.spikes]
    if all(name in run.observables for name in read):
        return {name: run.observables[name]["v_rec"] for name in read}
    return expected(Network(graph, {}), inputs)[1]


def _traced(
    network: Network, inputs: Mapping[str, Array], run: Run, membranes: Mapping[str, Array]
) -> dict[str, TraceNode]:
    """Nodes of NIR graph data, under the user's names where HDF5 takes them."""
    named = {name: label if name_fault(name) else name for name, label in network.labels.items()}
    nodes: Any = network.graph.nodes
    dt = next(node.dt for node in nodes.values() if isinstance(node, Population))
    found = {named[name]: TraceNode({"input": raster.astype(bool)}, dt) for name, raster in inputs.items()}
    for name in network.labels:
        if name in inputs:
            continue
        recorded = dict(run.observables.get(name, {}))
        if name in membranes:
            recorded["v_rec"] = membranes[name]
        if name in run.spikes:
            recorded[SPIKES] = run.spikes[name]
        found[named[name]] = TraceNode(recorded, nodes[name].dt)
    for name, raster in run.outputs.items():
        if not name_fault(name) and name not in found:
            found[name] = TraceNode({"output": raster}, dt)
    return found
