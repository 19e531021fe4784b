"""What must hold in the description of a model file beyond the graph itself: its rasters, and that the parts agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.files.limits import Limits
from norse_export.formats.node_codec import corrupt
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode

Array = NDArray[Any]
_MAX_DIMENSIONS = 16


def raster(fields: Mapping[str, Any], arrays: Mapping[str, Array], what: str, where: str, limits: Limits) -> Array:
    """The raster that "tensor", "shape", "dtype" and "packed" describe; one of bits is unpacked.

    Raises:
        InputFileError: its description does not fit its tensor.
        LimitError: it is larger, unpacked, than the limits.
    """
    key, shape, dtype = fields["tensor"], fields["shape"], fields["dtype"]
    if key not in arrays or dtype not in RASTER_TYPES or type(fields["packed"]) is not bool:
        raise corrupt(f"{what} is no raster of the file", where)
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > _MAX_DIMENSIONS:
        raise corrupt(f"{what} has an impossible shape", where)
    stored, cells = arrays[key], math.prod(shape)
    limits.check("max_bytes", cells * np.dtype(dtype).itemsize, where=f"{where}: {what}")
    if not fields["packed"]:
        if stored.shape != tuple(shape) or stored.dtype.name != dtype:
            raise corrupt(f"{what} is not the raster that its description says", where)
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            raise corrupt(f"{what} holds NaN or infinity", where)
        return stored
    if stored.dtype != np.uint8 or stored.shape != (-(-cells // 8),):
        raise corrupt(f"{what} is not the raster that its description says", where)
    unpacked = np.unpackbits(stored)
    if unpacked[cells:].any():
        raise corrupt(f"{what} has bits behind its end", where)
    return unpacked[:cells].reshape(shape).astype(dtype)


RASTER_TYPES = ("bool", "float32", "float64", "int32", "uint8")


def check_agreement(graph: Graph[ContinuousNode], inputs: Mapping[str, Array], reference: Run, where: str) -> None:
    """The stored rasters, and what the model did on them, are those of this graph.

    Raises:
        InputFileError: a node without its raster, or the other way round; wrong shapes or types.
    """
    leading = next((found.shape[:2] for found in inputs.values()), ())
    if len(leading) != 2 or 0 in leading:
        raise corrupt("the stored inputs have no step or no sample", where)
    rasters = {
        "inputs": (inputs, _shapes(graph, leading, lambda node: isinstance(node, Input))),
        "spikes": (reference.spikes, _shapes(graph, leading, _spikes)),
        "outputs": (reference.outputs, _shapes(graph, leading, lambda node: isinstance(node, Output))),
    }
    for what, (found, shapes) in rasters.items():
        if {name: array.shape for name, array in found.items()} != shapes:
            raise corrupt(f"the stored {what} are not those of the graph", where)
    dtypes = {name: node.dtype for name, node in graph.nodes.items() if isinstance(node, Input)}
    if any(inputs[name].dtype.name != dtype for name, dtype in dtypes.items()):
        raise corrupt("the stored inputs are of another type than the model", where)
    if any(array.dtype != np.bool_ for array in reference.spikes.values()):
        raise corrupt("the stored spikes are no truth values", where)
    expected = {
        name: dict.fromkeys(node.kind.dynamics.state, (leading[1], *node.shape))
        for name, node in graph.nodes.items()
        if isinstance(node, NeuronModel)
    }
    states = reference.final_state
    if {name: {key: array.shape for key, array in found.items()} for name, found in states.items()} != expected:
        raise corrupt("the stored final states are not those of the graph", where)


def _spikes(node: ContinuousNode) -> bool:
    return isinstance(node, NeuronModel) and node.spikes


def _shapes(
    graph: Graph[ContinuousNode], leading: tuple[int, ...], chosen: Callable[[ContinuousNode], bool]
) -> dict[str, tuple[int, ...]]:
    """Shape of the raster [T, B, ...] that each chosen node sends."""
    return {name: (*leading, *node.output_shape) for name, node in graph.nodes.items() if chosen(node)}
