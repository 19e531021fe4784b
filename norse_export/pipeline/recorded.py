"""Recorded traces: NIR graph data as `run` writes it, and recordings of chips: numpy archives, or a CSV of one neuron.

In an archive the keys are `input`, `spikes`, `output` and the names of states (`v`), each with the name of its node
behind a dot (`spikes.2.lif`), or without where there is one input, or one layer. Arrays are [T, B, ...]; [T] and [T, N]
are of one sample.
"""

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
            return kind in (Kind.CSV, Kind.NPZ)
        parsed = parse_in_child("norse_export.formats.traces:sniff", file, name=path.name, limits=limits)
        return bool(parsed.document["traces"])


def read_recording(path: Path, limits: Limits) -> Recording:
    """Read a recorded trace.

    Raises:
        InputFileError: corrupt, or without spikes.
    """
    with open_input(path) as file:
        kind = kind_of(file)
        if kind in (Kind.CSV, Kind.NPZ):
            return (_csv if kind is Kind.CSV else _archive)(path, limits)
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
    name = f"recorded trace {path.name}" + ("" if ran_by is None else f" ({ran_by})")
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


def _archive(path: Path, limits: Limits) -> Recording:
    """What was recorded of a chip, or of anything else, in an archive of numpy."""
    held: dict[str, dict[str, Array]] = {SPIKES: {}, INPUT: {}, OUTPUT: {}}
    for key, array in read_inputs(path, limits).rasters.items():
        quantity, dot, node = key.partition(".")
        alone = {INPUT: INPUT, OUTPUT: OUTPUT}.get(quantity, CSV_POPULATION)
        held.setdefault(quantity, {})[node if dot else alone] = _of_samples(array, path, key)
    spikes, inputs, outputs = held.pop(SPIKES), held.pop(INPUT), held.pop(OUTPUT)
    if not spikes and not outputs:
        message = f"the archive holds neither spikes nor outputs, but {', '.join((*held, *inputs)) or 'nothing'}"
        fix = "name its arrays input, spikes and v, or spikes.LAYER; rasters to run on are given by --inputs"
        raise InputFileError(message, where=path.name, fix=fix)
    states: dict[str, dict[str, Array]] = {}
    for quantity, by_node in held.items():
        for node, array in by_node.items():
            states.setdefault(node, {})[quantity] = array
    run = Run(
        {name: _fired(raster) for name, raster in spikes.items()},
        outputs,
        f"recorded trace {path.name}",
        {name: recorded for name, recorded in states.items() if name in spikes},
    )
    return Recording(run, inputs, None, {name: recorded for name, recorded in states.items() if name not in spikes})


def _of_samples(array: Array, path: Path, key: str) -> Array:
    """[T, B, ...], also of what was recorded of one sample, [T] and [T, N]."""
    if array.ndim == 0:
        message = f"array {key[:40]!r} has no steps"
        raise InputFileError(message, where=path.name, fix="give arrays of shape [T, B, ...]")
    return array[:, np.newaxis, np.newaxis] if array.ndim == 1 else array[:, np.newaxis] if array.ndim == 2 else array


def _fired(raster: Array) -> Array:
    """Spikes as bool where a step holds at most one."""
    return raster != 0 if bool(((raster == 0) | (raster == 1)).all()) else raster


def _csv(path: Path, limits: Limits) -> Recording:
    given = read_inputs(path, limits)
    if "spike" not in given.recorded:
        message = "the table has no third column: a recording is input, v, spike"
        raise InputFileError(message, where=path.name, fix="give the recorded spikes, or pass the file as --inputs")
    spikes = (given.recorded["spike"] != 0)[:, np.newaxis, np.newaxis]
    v = given.recorded["v"][:, np.newaxis, np.newaxis]
    run = Run({CSV_POPULATION: spikes}, {}, f"recorded trace {path.name}", {CSV_POPULATION: {"v": v}})
    return Recording(run, given.rasters, rung=None)
