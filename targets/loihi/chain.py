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
from .limits import MIXED_MAX, MIXED_MIN, ONE_SIGN_MAX
from .netx import MAX_DELAY
from .precision import FINE_EXP
from .weights import arrive_together, arriving, holds_8_bits

Array = NDArray[Any]
ARRAYS = 2  # of synapses from one population to another: netx connects the first, the script a second
_ARRAYS = (DenseSynapses, ConvSynapses)
_RESCALE = "rescale the layer"
_CHAIN = "use one input, and layers in a row; export branches to another target"


@dataclass(frozen=True, slots=True, eq=False)
class ChainLayer:
    """Synapses, the population that they lead to, and synapses from it to itself.

    more, more_recurrent: second arrays of the same ends. delay_steps: of the synapses, beyond the one step of each.
    """

    name: str
    forward: str
    synapses: DenseSynapses | ConvSynapses
    population: Population
    recurrent: DenseSynapses | None = None
    more: tuple[DenseSynapses | ConvSynapses, ...] = ()
    more_recurrent: tuple[DenseSynapses, ...] = ()
    delay_steps: int = 0

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
        found.append(Finding("no_neurons", "error", "the model", "no neurons", "export a model of spiking neurons"))
    for layer in layers:
        found += _netx_faults(layer)
    found += _host_delays(graph)
    chain = Chain(inputs[0], graph.nodes[inputs[0]].output_shape, tuple(layers))
    return (None if any(finding.severity == "error" for finding in found) else chain), tuple(found)


def _layer(
    graph: Graph[FixedNode], name: str, node: Population, before: str, found: list[Finding]
) -> ChainLayer | None:
    forward: dict[str, DenseSynapses | ConvSynapses] = {}
    recurrent: list[DenseSynapses] = []
    delays: dict[bool, set[int]] = {False: set(), True: {SYNAPSE_STEPS}}
    for edge in graph.incoming(name):
        synapses = graph.nodes[edge.source]
        for sending in graph.incoming(edge.source):
            delays[sending.source == name].add(sending.delay_steps)
            if sending.source == before and len(forward) < ARRAYS and isinstance(synapses, _ARRAYS):
                forward[edge.source] = synapses
            elif sending.source == name and len(recurrent) < ARRAYS and isinstance(synapses, DenseSynapses):
                recurrent.append(synapses)
            else:
                message = (
                    f"synapses from {sending.source!r} ({type(synapses).__name__}): netx connects a layer to the one"
                    f" before it, {before!r}, and to itself"
                )
                found.append(Finding("branch", "error", name, message, _CHAIN))
    if not forward:
        message = f"nothing leads from {before!r} to this layer: netx connects each layer to the one before it"
        found.append(Finding("branch", "error", name, message, _CHAIN))
        return None
    (key, first), *more = forward.items()
    if recurrent and not isinstance(first, DenseSynapses):
        message = "a recurrent convolution: netx has recurrence in dense layers only"
        found.append(Finding("recurrent_conv", "error", name, message, "put recurrence into a dense layer"))
    found += _delay_faults(name, first, delays[False], delays[True], loops=bool(recurrent))
    return ChainLayer(
        name,
        key,
        first,
        node,
        recurrent[0] if recurrent else None,
        tuple(synapses for _, synapses in more),
        tuple(recurrent[1:]),
        min(delays[False]) - SYNAPSE_STEPS,
    )


def _delay_faults(
    name: str, synapses: DenseSynapses | ConvSynapses, forward: set[int], recurrent: set[int], *, loops: bool
) -> list[Finding]:
    """Delays that a .net file cannot say: it has one for a dense layer without recurrence."""
    least, most = min(forward), max(forward)
    if recurrent != {SYNAPSE_STEPS}:
        message = f"a loop of {max(recurrent)} steps: netx has recurrence of {SYNAPSE_STEPS}"
    elif least != most:
        message = f"delays of {least} to {most} steps from one layer to the next: netx has one for the layer"
    elif not SYNAPSE_STEPS <= least <= SYNAPSE_STEPS + MAX_DELAY:
        message = f"a delay of {least - SYNAPSE_STEPS} steps: a synapse has 0 to {MAX_DELAY}"
    elif least > SYNAPSE_STEPS and (loops or isinstance(synapses, ConvSynapses)):
        sort = "a recurrent layer" if loops else "a convolution"
        message = f"a delay of {least - SYNAPSE_STEPS} steps before {sort}: netx has none there"
    else:
        return []
    return [Finding("delay", "error", name, message, "use one delay of 0 to 62 steps, before a dense layer")]


def _netx_faults(layer: ChainLayer) -> list[Finding]:
    """What netx would make something else of than what is written."""
    found = []
    for second in (*layer.more, *layer.more_recurrent):
        if not _is_second(second):
            message = "a second array of synapses that is neither inhibitory nor a fine one, or of more than 8 bits"
            found.append(Finding("weights", "error", layer.name, message, _RESCALE))
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


def _is_second(synapses: DenseSynapses | ConvSynapses) -> bool:
    """Whether 8-bit synapses hold an array that stands beside the first; see precision.py."""
    weight = synapses.weight
    if synapses.delivery.shift == FINE_EXP:
        return bool(weight.min() >= MIXED_MIN and weight.max() <= MIXED_MAX and not np.any(weight & 1))
    return bool(weight.max() <= 0 and weight.min() >= -ONE_SIGN_MAX)


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
