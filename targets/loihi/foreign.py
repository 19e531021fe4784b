"""What in a fixed graph is none of this chip's: programs of other laws, graded inputs, numbers no register holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import ConvSynapses, Delivery, FixedInput, Population, Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input
from norse_export.ir.stages import FixedNode

from . import law
from .limits import BIAS_MAX, BIAS_MIN, DECAY_MAX, THRESHOLD_MAX
from .precision import FINE_EXP

Array = NDArray[Any]
_PROGRAMS = (law.LAVA_LIF.trace(), law.LAVA_READOUT.trace())
_REGISTERS = {"u_keep": "decay of u", "v_keep": "decay of v", "bias": "bias", "v_th": "threshold"}
_LOWER = "lower the model for this target"
_RESCALE = "rescale the layer"


def foreign(graph: Graph[FixedNode]) -> list[Finding]:
    """Every such thing."""
    return [finding for name, node in graph.nodes.items() for finding in _of_node(graph, name, node)]


def _of_node(graph: Graph[FixedNode], name: str, node: FixedNode) -> Iterator[Finding]:
    match node:
        case FixedInput() if (node.low, node.high) != (0, 1):
            message = f"an input of {node.low} to {node.high}: synapses take spikes, 0 and 1"
            yield Finding("graded_input", "error", name, message, "encode the input into spikes")
        case Input():
            yield Finding("analog_input", "error", name, "an input of floats", "encode the input into spikes")
        case Population() if node.program not in _PROGRAMS:
            yield Finding("law", "error", name, "neurons of another law", _LOWER)
        case Population():
            yield from _of_population(name, node, images=_is_conv(graph, name))
        case _ if isinstance(node, Synapses):
            wanted = law.conv_delivery() if isinstance(node, ConvSynapses) else Delivery()
            if node.delivery not in (wanted, Delivery(shift=FINE_EXP)):
                yield Finding("law", "error", name, "synapses of another law", _LOWER)
        case _:
            return


def _is_conv(graph: Graph[FixedNode], name: str) -> bool:
    return any(isinstance(graph.nodes[edge.source], ConvSynapses) for edge in graph.incoming(name))


def _of_population(name: str, node: Population, *, images: bool) -> Iterator[Finding]:
    """Registers that do not hold what a layer has; Lava itself checks none of them."""
    if any(np.any(np.abs(value) >= law.STATE_RANGE) for value in node.initial_state.values()):
        message = f"states that start beyond {law.STATE_BITS} bits"
        yield Finding("initial_state", "error", name, message, _RESCALE)
    unity, bits = law.DECAY_UNITY, law.ALIGN_BITS
    parameters = node.parameters
    held = {
        "u_keep": (unity - law.CURRENT_DECAY_OFFSET - parameters["u_keep"], 0, DECAY_MAX),
        "v_keep": (unity - parameters["v_keep"], 0, DECAY_MAX),
        "bias": (parameters["bias"] >> bits, BIAS_MIN, BIAS_MAX),
        "v_th": (parameters["v_th"] >> bits, 0, THRESHOLD_MAX),
    }
    for key, (values, low, high) in held.items():
        if np.any(values < low) or np.any(values > high):
            told = f"{int(values.min())} to {int(values.max())}"
            message = f"{_REGISTERS[key]}: {told}, the register holds {low} to {high}"
            yield Finding("register", "error", name, message, _RESCALE)
        if key in ("bias", "v_th") and np.any(parameters[key] != values << bits):
            message = f"{_REGISTERS[key]}: not in whole numbers of {1 << bits}, as the register counts"
            yield Finding("register", "error", name, message, _RESCALE)
        if key in ("u_keep", "v_keep") and _varies(values.reshape(1, -1)):
            message = f"{_REGISTERS[key]} differs between neurons: netx has one for a layer"
            yield Finding("decays", "error", name, message, "give the layer one time constant")
        if images and _varies(values.reshape(values.shape[0], -1)):
            message = f"{_REGISTERS[key]} differs within a feature map: netx has one for each"
            yield Finding("feature_map", "error", name, message, "give each feature map one value")


def _varies(values: Array) -> bool:
    return bool(np.any(values != values[:, :1]))
