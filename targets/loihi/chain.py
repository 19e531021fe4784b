"""A fixed graph as what a `.net` file holds: one input, then layers in a row, each fed by the one before and by itself.

netx connects each layer to the one before it, in the order of the file, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, Synapses
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.stages import FixedNode

from .foreign import foreign
from .law import ALIGN_BITS, DECAY_UNITY, SYNAPSE_STEPS
from .weights import arrive_together, arriving, holds_8_bits

Array = NDArray[Any]
_RESCALE = "rescale the layer"
_CHAIN = "use one input, and layers in a row; export branches to another target"


@dataclass(frozen=True, slots=True, eq=False)
class ChainLayer:
    """Synapses, the population that they lead to, and synapses from it to itself."""

    name: str
    forward: str
    synapses: DenseSynapses | ConvSynapses
    population: Population
    recurrent: DenseSynapses | None = None

    @property
    def is_conv(self) -> bool:
        """Whether the layer is written as a convolution."""
        return isinstance(self.synapses, ConvSynapses)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The input and the layers behind it."""

    input_name: str
    input_shape: Shape
    layers: tuple[ChainLayer, ...]


def chain_of(graph: Graph[FixedNode]) -> tuple[Chain | None, tuple[Finding, ...]]:
    """The chain, or every reason why there is none."""
    found = foreign(graph)
    if found:
        return None, tuple(found)
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, FixedInput)]
    if len(inputs) != 1:
        message = f"{len(inputs)} inputs ({', '.join(inputs)}): netx feeds the first layer of a file alone"
        return None, (Finding("inputs", "error", "inputs", message, _CHAIN),)
    before, images, layers = inputs[0], len(graph.nodes[inputs[0]].output_shape) == 3, []
    for name in graph.order:
        node = graph.nodes[name]
        if isinstance(node, Population):
            layer = _layer(graph, name, node, before, found)
            if layer is None:
                continue
            if layer.is_conv and not images:
                message = "a convolution behind a dense layer: netx connects images only"
                found.append(Finding("images", "error", name, message, "put convolutions before dense layers"))
            before, images = name, layer.is_conv
            layers.append(layer)
    if not layers and not found:
        found.append(Finding("no_neurons", "error", "graph", "no neurons", "export a model of spiking neurons"))
    for layer in layers:
        found += _netx_faults(layer)
    found += _host_delays(graph)
    chain = Chain(inputs[0], graph.nodes[inputs[0]].output_shape, tuple(layers))
    return (None if any(finding.severity == "error" for finding in found) else chain), tuple(found)


def _layer(
    graph: Graph[FixedNode], name: str, node: Population, before: str, found: list[Finding]
) -> ChainLayer | None:
    forward, recurrent = None, None
    for edge in graph.incoming(name):
        synapses = graph.nodes[edge.source]
        for sending in graph.incoming(edge.source):
            if sending.delay_steps != SYNAPSE_STEPS:
                message = f"a delay of {sending.delay_steps} steps, a synapse takes {SYNAPSE_STEPS}"
                found.append(Finding("delay", "error", edge.source, message, "use no delays"))
            if sending.source == before and forward is None and isinstance(synapses, DenseSynapses | ConvSynapses):
                forward = edge.source, synapses
            elif sending.source == name and recurrent is None and isinstance(synapses, DenseSynapses):
                recurrent = synapses
            else:
                message = (
                    f"synapses from {sending.source!r} ({type(synapses).__name__}): netx connects a layer to the one"
                    f" before it, {before!r}, and to itself, by one array of weights each"
                )
                found.append(Finding("branch", "error", name, message, _CHAIN))
    if forward is None:
        message = f"nothing leads from {before!r} to this layer: netx connects each layer to the one before it"
        found.append(Finding("branch", "error", name, message, _CHAIN))
        return None
    if recurrent is not None and not isinstance(forward[1], DenseSynapses):
        message = "a recurrent convolution: netx has recurrence in dense layers only"
        found.append(Finding("recurrent_conv", "error", name, message, "put recurrence into a dense layer"))
    return ChainLayer(name, *forward, node, recurrent)


def _netx_faults(layer: ChainLayer) -> list[Finding]:
    """What netx would make something else of than what is written."""
    found = []
    if isinstance(layer.synapses, ConvSynapses):
        if not holds_8_bits(layer.synapses.weight.astype(np.int64)):
            message = "weights of a kernel that 8-bit synapses do not hold: netx takes them as they are"
            found.append(Finding("weights", "error", layer.name, message, _RESCALE))
    else:
        weight = layer.synapses.weight.astype(np.int64)
        recurrent = None if layer.recurrent is None else layer.recurrent.weight.astype(np.int64)
        if not weight.any():
            message = "all weights are 0 in whole numbers: netx divides by the largest"
            found.append(Finding("zero_weights", "error", layer.name, message, "remove the layer, or its scale"))
        elif recurrent is not None and recurrent.any():
            if not arrive_together(weight, recurrent):
                message = "netx would change the weights, which it takes together with the recurrent ones"
                found.append(Finding("netx_weights", "error", layer.name, message, _RESCALE))
        elif not np.array_equal(arriving(weight), weight):
            found.append(Finding("netx_weights", "error", layer.name, "netx would change the weights", _RESCALE))
    if i_decay(layer) < 1:
        message = "no decay of the current: netx makes du = -1 of it, and no register holds that"
        found.append(Finding("decay_range", "error", layer.name, message, "use a shorter tau_syn"))
    return found


def _host_delays(graph: Graph[FixedNode]) -> list[Finding]:
    found = []
    for edge in graph.edges:
        if edge.delay_steps and not isinstance(graph.nodes[edge.target], Synapses):
            message = f"a delay of {edge.delay_steps} steps before a layer of the host"
            found.append(Finding("delay", "error", f"{edge.source} -> {edge.target}", message, "use no delays"))
    return found


def i_decay(layer: ChainLayer) -> int:
    """The file's iDecay: what a step takes of u, in parts of 4096."""
    return DECAY_UNITY - int(layer.population.parameters["u_keep"].flat[0])


def v_decay(layer: ChainLayer) -> int:
    """The file's vDecay: what a step takes of v, in parts of 4096."""
    return DECAY_UNITY - int(layer.population.parameters["v_keep"].flat[0])


def mantissas(layer: ChainLayer, parameter: str) -> Array:
    """Threshold or bias in units of a weight: one number, or one for each feature map or neuron, [C] or [N].

    A population's values are whole multiples of 2^ALIGN_BITS.
    """
    values = layer.population.parameters[parameter] >> ALIGN_BITS
    if np.all(values == values.flat[0]):
        return np.asarray(values.flat[0], np.int64)
    if layer.is_conv:
        return np.ascontiguousarray(values.reshape(values.shape[0], -1)[:, 0])
    return np.ascontiguousarray(values.reshape(prod(values.shape)))
