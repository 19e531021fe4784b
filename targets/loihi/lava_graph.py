"""Layers of a Lava network -> fixed graph under the law `lava`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from norse_export.errors import GraphError, UnsupportedError, locating
from norse_export.ir.fixed import (
    WEIGHT_TYPES,
    ConvSynapses,
    Delivery,
    DenseSynapses,
    FixedInput,
    IntArray,
    Population,
    SparseSynapses,
    Synapses,
)
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.stages import FixedNode
from norse_export.program.program import Family

from . import law
from .layers import LavaLayer, Projection

INPUT = "input"
STEP_SECONDS = 1.0  # Loihi's step has no length; a graph wants one


def lava_graph(layers: Sequence[LavaLayer], source: FixedInput) -> Graph[FixedNode]:
    """Chain the layers behind an input "input"; each layer's population has the layer's name.

    Lava's LIF that spikes -1 feeds some synapses with its sign and others without. Where both occur, a second
    population computes the same and sends the other.

    Raises:
        GraphError, UnsupportedError: a layer does not fit its neighbours, or the law.
    """
    built = _Built({INPUT: source})
    senders = {True: INPUT, False: INPUT}
    for number, layer in enumerate(layers):
        following = layers[number + 1].forward if number + 1 < len(layers) else None
        with locating(f"layer {layer.name}"):
            senders = built.add(layer, senders, following)
    return Graph(built.nodes, tuple(built.edges))


@dataclass(slots=True)
class _Built:
    """Nodes and edges so far."""

    nodes: dict[str, FixedNode]
    edges: list[Edge] = field(default_factory=list)

    def add(self, layer: LavaLayer, sources: dict[bool, str], following: Projection | None) -> dict[bool, str]:
        """Add a layer; give the node that sends what graded synapses take (True), and what others do (False)."""
        source = sources[layer.forward.graded]
        shape = _output_shape(layer.forward, self.nodes[source].output_shape)
        if layer.shape is not None and layer.shape != shape:
            message = f"the layer is said to have shape {layer.shape[::-1]}, its synapses lead to {shape[::-1]}"
            raise GraphError(message, where="shape", fix="give the shape that follows from the weights", kind="shape")
        wanted = {p.graded for p in (layer.recurrent, following) if p is not None}
        families, senders = _families(layer, wanted)
        for name, family in families.items():
            self.nodes[name] = Population(
                program=family.trace(),
                shape=shape,
                parameters=layer.neurons.parameters,
                initial_state=layer.neurons.initial,
                dt=STEP_SECONDS,
            )
        self.project(f"{layer.name}.synapses", layer.forward, source, tuple(families), shape)
        for number, more in enumerate(layer.more, 2):
            self.project(f"{layer.name}.synapses.{number}", more, source, tuple(families), shape)
        for number, more in enumerate(layer.more_recurrent, 2):
            back = senders[more.graded]
            self.project(f"{layer.name}.recurrent.{number}", more, back, tuple(families), shape)
        if layer.recurrent is not None:
            back = senders[layer.recurrent.graded]
            self.project(f"{layer.name}.recurrent", layer.recurrent, back, tuple(families), shape)
        return senders

    def project(self, name: str, projection: Projection, source: str, targets: Sequence[str], shape: Shape) -> None:
        """Add the synapses from a node to populations: one node for each delay."""
        for delay, node in _synapses(projection, self.nodes[source].output_shape, shape).items():
            own = f"{name}.late {delay}" if delay else name
            self.nodes[own] = node
            self.edges.append(Edge(source, own, delay_steps=law.SYNAPSE_STEPS + delay))
            self.edges += [Edge(own, target, "a") for target in targets]


def _families(layer: LavaLayer, wanted: set[bool]) -> tuple[dict[str, Family], dict[bool, str]]:
    """The families of a layer's populations by name, and which of them sends with its sign, and without."""
    name = layer.name
    match layer.neurons.kind:
        case "LIF":
            return {name: law.LAVA_LIF}, {True: name, False: name}
        case "LIFReset":
            return {name: law.LAVA_LIF_RESET}, {True: name, False: name}
        case "TernaryLIF":
            if wanted == {False}:
                return {name: law.LAVA_TERNARY_UNSIGNED}, {False: name}
            twin = f"{name}.unsigned"
            families = {name: law.LAVA_TERNARY} | ({twin: law.LAVA_TERNARY_UNSIGNED} if False in wanted else {})
            return families, {True: name, False: twin}


def _output_shape(projection: Projection, taken: Shape) -> Shape:
    """The shape of what a projection leads to, [N_out] or [C_out, H_out, W_out]."""
    if projection.sort != "conv":
        return (projection.weight.shape[0],)
    window, kernel = projection.window, projection.weight.shape
    if len(taken) != 3 or min(*window.stride, *window.dilation) < 1 or min(window.padding) < 0:
        message = f"no convolution: kernel {kernel}, {window}, input {taken}"
        raise GraphError(message, where="conv", fix="give an image, and a stride and dilation of 1 or more")
    along = zip(taken[1:], kernel[2:], window.stride, window.padding, window.dilation, strict=True)
    return (kernel[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in along))


def _synapses(projection: Projection, taken: Shape, sent: Shape) -> dict[int, Synapses]:
    """The synapses by delay, beyond the one step of every synapse, under the weight rule."""
    window = projection.window
    if projection.sort == "conv":
        pairs = (window.stride, window.padding, window.dilation)
        weight, delivery = _narrow(projection.weight), law.conv_delivery()
        if projection.listed:
            mode = projection.sign_mode or law.sign_mode_of(projection.weight)
            weight = _narrow(law.effective_weights(projection.weight, mode, projection.num_weight_bits))
            delivery = law.lava_delivery(projection.weight_exp, graded=projection.graded)
        return {0: ConvSynapses(weight, taken, sent, *pairs, window.groups, delivery)}
    mode = projection.sign_mode or law.sign_mode_of(projection.weight)
    weight = law.effective_weights(projection.weight, mode, projection.num_weight_bits)
    if not -law.LAVA_BITS < projection.weight_exp < law.LAVA_BITS:
        message = f"weight_exp = {projection.weight_exp}"
        raise UnsupportedError(message, where="weight_exp", fix="use -7 to 7, as the chip has")
    if weight.shape != (prod(sent), prod(taken)):
        message = f"weights {weight.shape} do not lead from {taken} to {sent}"
        raise GraphError(message, where="weights", fix="give weights [N_out, N_in]", kind="shape")
    delivery = law.lava_delivery(projection.weight_exp, graded=projection.graded)
    if projection.delays is not None:
        delays = projection.delays
        found = sorted({int(d) for d in np.unique(delays[weight != 0])} or {0})
        if len(found) == 1:  # zeros may be as late as the others
            return {found[0]: DenseSynapses(_narrow(weight), taken, sent, delivery)}
        return {d: _listed(np.where(delays == d, weight, 0), taken, sent, delivery) for d in found}
    if projection.sort == "sparse":
        return {0: _listed(weight, taken, sent, delivery)}
    return {0: DenseSynapses(_narrow(weight), taken, sent, delivery)}


def _listed(weight: IntArray, taken: Shape, sent: Shape, delivery: Delivery) -> SparseSynapses:
    """The synapses of a matrix [N_out, N_in] that are not 0."""
    sources, targets = np.nonzero(weight.T)
    starts = np.searchsorted(sources, np.arange(weight.shape[1] + 1))
    return SparseSynapses(starts, targets, _narrow(weight[targets, sources]), taken, sent, delivery)


def _narrow(weight: IntArray) -> IntArray:
    """The weights in the narrowest type that holds them."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    dtype = next(t for t in WEIGHT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(weight, dtype)
