"""Input rasters, checked against the inputs of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Graph, Node
from norse_export.ir.layers import Input

Array = NDArray[Any]


def model_dtype(graph: Graph[Node]) -> str:
    """The float type in which the model computes: float64 where an input says so, else float32."""
    return max((node.dtype for node in graph.nodes.values() if isinstance(node, Input)), default="float32")


def checked_inputs(graph: Graph[Node], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Give the rasters by input node, checked against the graph's inputs; those of a fixed graph as integers or bool.

    Raises:
        UsageError: missing, unknown, of the wrong shape, not finite, or of different lengths; for an input of whole
            numbers, others or some beyond its range.
    """
    wanted = {name: node for name, node in graph.nodes.items() if isinstance(node, Input | FixedInput)}
    if not wanted:
        raise UsageError("the graph has no input", where="inputs", fix="give the model an input to run it on")
    if set(inputs) != set(wanted):
        message = f"the inputs are named {', '.join(wanted)}, got {', '.join(map(repr, inputs)) or 'none'}"
        raise UsageError(message, where="inputs", fix="give one raster for each input of the model")
    leading = {name: np.shape(raster)[:2] for name, raster in inputs.items()}
    if len(set(leading.values())) > 1:
        message = f"inputs of different length or batch: {leading}"
        raise UsageError(message, where="inputs", fix="give rasters [T, B, ...] of one T and B")
    for name, node in wanted.items():
        raster = np.asarray(inputs[name])
        if raster.ndim < 2 or raster.shape[2:] != node.shape:
            expected = ", ".join(["T", "B", *map(str, node.shape)])
            message = f"wrong input shape {raster.shape}, the model takes [{expected}]"
            raise UsageError(message, where=name, fix=f"give a raster of shape [{expected}]", kind="input_shape")
        if not all(raster.shape[:2]):
            message = f"an empty raster: {raster.shape[0]} steps of {raster.shape[1]} samples"
            raise UsageError(message, where=name, fix="give at least one step and one sample", kind="input_shape")
        dtype = "float64" if isinstance(node, FixedInput) else node.dtype
        if raster.dtype.kind not in "biuf" or not _finite(raster, dtype):
            message = f"the raster (dtype {raster.dtype}) does not hold finite numbers of type {dtype}"
            raise UsageError(message, where=name, fix="give spikes or currents as real numbers", kind="input_values")
    return {name: _as_sent(name, node, np.asarray(inputs[name])) for name, node in wanted.items()}


def _as_sent(name: str, node: Input | FixedInput, raster: Array) -> Array:
    """The raster; what enters a fixed graph as integers or bool, within the input's range."""
    if isinstance(node, Input) or (raster.dtype.kind == "b" and node.high >= 1):
        return raster
    number = float if raster.dtype.kind == "f" else int
    low, high = number(raster.min()), number(raster.max())
    whole = number is int or bool(np.all(raster == np.rint(raster)))
    if not whole or low < node.low or high > node.high:
        what = f"numbers from {low} to {high}" if whole else "numbers that are not whole"
        message = f"the raster holds {what}, the input takes whole numbers from {node.low} to {node.high}"
        raise UsageError(message, where=name, fix="give a raster in that range", kind="input_values")
    return raster.astype(np.int64) if raster.dtype.kind == "f" else raster


def _finite(raster: Array, dtype: str) -> bool:
    """Whether all values are finite, also when rounded to the float type in which the model computes."""
    limit = float(np.finfo(dtype).max)
    return raster.dtype.kind != "f" or (-limit <= float(raster.min()) and float(raster.max()) <= limit)
