"""What was played when an export was proved, beside the `.net` file: NIR graph data of rasters, spikes and states.

The file is read by `run_on_loihi.py`, which knows nothing of this package: its metadata name the input and the layers
in the order of the net. It is a recorded trace like any other, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import InputFileError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats.traces import SPIKES, TraceNode, traces_of, write
from norse_export.ir.run import Run

from .host import HostLayer, HostPart

Array = NDArray[Any]
MAX_SAMPLES = 8
MOST_NUMBERS = 1 << 26  # spikes and states that are recorded: of a large net there are fewer samples, but always one
KEY = "loihi"  # of the metadata; the script reads it
STATES = ("u", "v")
_INPUT, _OUTPUT = "input", "output"
_PARSER = "norse_export.formats.traces:parse"


def samples_of(part: HostPart, inputs: Mapping[str, Array]) -> int:
    """How many samples are recorded."""
    steps, batch = inputs[part.input_name].shape[:2]
    cells = sum(prod(layer.shape) for layer in part.layers) * (1 + len(STATES))
    return int(max(1, min(MAX_SAMPLES, batch, MOST_NUMBERS // max(1, steps * cells))))


def write_recording(path: Path, part: HostPart, inputs: Mapping[str, Array], run: Run, *, images: bool) -> None:
    """Write rasters [T, B, *shape], and spikes, u and v of every layer after each step; the same run, the same bytes.

    images: whether the net takes its input as one, [C, H, W]; else it takes a vector. run: has every state.
    """
    samples = samples_of(part, inputs)
    dt = part.layers[0].dt
    raster = np.asarray(inputs[part.input_name])[:, :samples].astype(np.bool_)
    nodes = {part.input_name: TraceNode({_INPUT: raster}, dt)}
    for layer in part.layers:
        nodes[layer.name] = TraceNode(_of_layer(layer, run, samples), layer.dt)
    for name, values in run.outputs.items():
        kept = np.asarray(values)[:, :samples]
        nodes[name] = TraceNode({_OUTPUT: kept.astype(np.float64 if kept.dtype.kind == "f" else np.int64)}, dt)
    shape = list(part.input_shape) if images else [prod(part.input_shape)]
    told = {"input": part.input_name, "input_shape": shape, "layers": [layer.name for layer in part.layers]}
    write(path, nodes, {KEY: json.dumps(told), "ran_by": run.ran_by})


def _of_layer(layer: HostLayer, run: Run, samples: int) -> dict[str, Array]:
    states = {name: run.observables[layer.name][name][:, :samples].astype(np.int32) for name in STATES}
    return states if layer.readout else {SPIKES: run.spikes[layer.name][:, :samples].astype(np.bool_), **states}


def read_rasters(path: Path, limits: Limits) -> dict[str, Array]:
    """The rasters [T, B, *shape] that a recording holds, by input.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely; it holds no input.
    """
    with open_input(path) as file:
        parsed = parse_in_child(_PARSER, file, name=str(path), limits=limits)
    nodes = traces_of(parsed.document, parsed.arrays).nodes
    found = {name: node.observables[_INPUT] for name, node in nodes.items() if _INPUT in node.observables}
    if not found:
        message = "the recording holds no input raster"
        raise InputFileError(message, where=str(path), fix="export the model again", kind="trace")
    return found
