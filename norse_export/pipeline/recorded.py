"""Recorded traces: NIR graph data written by `run`, and CSV recordings (input, v, spike) of one neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.formats.inputs import read_inputs
from norse_export.target import Run

Array = NDArray[Any]
SPIKES, INPUT, OUTPUT = "spikes", "input", "output"
CSV_POPULATION = "recorded"  # a CSV does not name the neuron that it was recorded from


@dataclass(frozen=True, slots=True)
class Recording:
    """A trace that was recorded earlier, and the rasters that went in, by input node.

    rung: of the ladder of proof: 1 for a trace of our interpreter; None where the trace does not say what made it.
    values: what was recorded of nodes that do not spike, beside inputs and outputs.
    """

    run: Run
    inputs: Mapping[str, Array]
    rung: int | None
    values: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


def is_recording(path: Path, limits: Limits) -> bool:
    """Whether a file is a recorded trace rather than a model; told by its content."""
    with open_input(path) as file:
        kind = kind_of(file)
        if kind is not Kind.HDF5:
            return kind is Kind.CSV
        parsed = parse_in_child("norse_export.formats.traces:sniff", file, name=path.name, limits=limits)
        return bool(parsed.document["traces"])


def read_recording(path: Path, limits: Limits) -> Recording:
    """Read a recorded trace.

    Raises:
        InputFileError: corrupt, or without spikes.
    """
    with open_input(path) as file:
        if kind_of(file) is Kind.CSV:
            return _csv(path, limits)
        from norse_export.formats.traces import traces_of

        parsed = parse_in_child("norse_export.formats.traces:parse", file, name=path.name, limits=limits)
    traces = traces_of(parsed.document, parsed.arrays)
    nodes = traces.nodes
    spikes = {name: node.observables[SPIKES] for name, node in nodes.items() if SPIKES in node.observables}
    inputs = {name: node.observables[INPUT] for name, node in nodes.items() if INPUT in node.observables}
    outputs = {name: node.observables[OUTPUT] for name, node in nodes.items() if OUTPUT in node.observables}
    if not spikes and not outputs:
        raise InputFileError("the trace holds neither spikes nor outputs", where=path.name, fix="record spikes")
    recorded = {
        name: {key: raster for key, raster in node.observables.items() if key not in (SPIKES, INPUT, OUTPUT)}
        for name, node in nodes.items()
    }
    observables = {name: held for name, held in recorded.items() if name in spikes}
    values = {name: held for name, held in recorded.items() if name not in spikes and held}
    ran_by = traces.metadata.get("ran_by")
    name = f"recorded trace {path.name}" + ("" if ran_by is None else f" of the {ran_by}")
    return Recording(Run(spikes, outputs, name, observables), inputs, None if ran_by is None else 1, values)


def write_recording(path: Path, run: Run, inputs: Mapping[str, Array], dts: Mapping[str, float]) -> None:
    """Write a run as NIR graph data: spikes and states of populations, inputs, outputs.

    Nodes that have no dt of their own (inputs, outputs) are written with the first population's, or 1 s.
    """
    from norse_export.formats.traces import TraceNode, write

    common = next(iter(dts.values()), 1.0)
    nodes = {name: TraceNode({INPUT: _storable(raster)}, common) for name, raster in inputs.items()}
    nodes |= {name: TraceNode({OUTPUT: _storable(raster)}, common) for name, raster in run.outputs.items()}
    for name in dict.fromkeys((*run.spikes, *run.observables)):
        recorded = dict(run.observables.get(name, {}))
        if name in run.spikes:
            recorded[SPIKES] = run.spikes[name]
        nodes[name] = TraceNode(recorded, dts.get(name, common))
    write(path, nodes, {"ran_by": run.ran_by})


def _storable(raster: Array) -> Array:
    if raster.dtype.name in ("bool", "int32", "int64", "float32", "float64"):
        return raster
    return raster.astype(np.float32 if raster.dtype.kind == "f" else np.int64)


def _csv(path: Path, limits: Limits) -> Recording:
    given = read_inputs(path, limits)
    if "spike" not in given.recorded:
        message = "the table has no third column: a recording is input, v, spike"
        raise InputFileError(message, where=path.name, fix="give the recorded spikes, or pass the file as --inputs")
    spikes = (given.recorded["spike"] != 0)[:, np.newaxis, np.newaxis]
    v = given.recorded["v"][:, np.newaxis, np.newaxis]
    run = Run({CSV_POPULATION: spikes}, {}, f"recorded trace {path.name}", {CSV_POPULATION: {"v": v}})
    return Recording(run, given.rasters, rung=None)
