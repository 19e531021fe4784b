"""How far the numbers of a fixed graph reach: sums of weights, what arrives at each port, the values of each program.

A sum of weights lies between what its target gets when every source sends what pulls it down most, and the same up:
sources are taken as independent, so for spikes both ends are reached. Ports take the sums of all their edges as
independent too. All bounds are exact in 64 bits, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError, UnsupportedError, locating
from norse_export.ir.arrays import compact
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.interval import BOOLEAN, Interval, bits_of
from norse_export.program.ranges import FARTHEST, Ranges, intervals, state_ranges

Totals = NDArray[np.int64]
_CHUNK = 1 << 22  # weights looked at together


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Of each target cell, in C order, the least and the greatest sum that is delivered; int64 [N_out].

    exact: least and greatest of all sums before the delivery; no partial sum leaves them, whatever the order.
    """

    low: Totals
    high: Totals
    exact: Interval

    @property
    def delivered(self) -> Interval:
        """Least and greatest of all that is delivered."""
        return int(self.low.min()), int(self.high.max())


def weight_totals(node: Synapses) -> tuple[Totals, Totals]:
    """Of each target cell the sum of its negative and of its positive weights, each [N_out], exactly."""
    match node:
        case DenseSynapses():
            rows = max(1, _CHUNK // node.weight.shape[1])
            parts = [_signed(node.weight[start : start + rows], 1) for start in range(0, node.weight.shape[0], rows)]
            negative, positive = (np.concatenate(side) for side in zip(*parts, strict=True))
            return negative, positive
        case SparseSynapses():
            return _at(node, np.minimum(node.weight, 0)), _at(node, np.maximum(node.weight, 0))
        case ConvSynapses():
            negative, positive = (_over_map(node, taps) for taps in _signed(node.weight, 1))
            return negative, positive


def _signed(weight: NDArray[Any], axis: int) -> tuple[Totals, Totals]:
    """Sums of the negative and of the positive ones along an axis."""
    positive = np.maximum(weight, 0).sum(axis, dtype=np.int64)
    return np.minimum(weight, 0).sum(axis, dtype=np.int64), positive


def _at(node: SparseSynapses, weight: NDArray[Any]) -> Totals:
    totals = np.zeros(math.prod(node.output_shape), np.int64)
    np.add.at(totals, node.targets, weight.astype(np.int64))
    return totals


def _over_map(node: ConvSynapses, taps: Totals) -> Totals:
    """Sum of the taps [C_out, kH, kW] that fall on the input, for each cell of the map."""
    totals = np.zeros(node.map_shape, np.int64)
    for y in range(taps.shape[1]):
        for x in range(taps.shape[2]):
            rows, columns = (_reached(node, axis, tap) for axis, tap in enumerate((y, x)))
            totals[:, rows, columns] += taps[:, y, x, None, None]
    return totals.ravel()


def _reached(node: ConvSynapses, axis: int, tap: int) -> slice:
    """The outputs along a spatial axis for which a tap of the kernel falls on the input and not on its padding."""
    offset = tap * node.dilation[axis] - node.padding[axis]
    stride, size = node.stride[axis], node.input_shape[1 + axis]
    first = max(0, -(offset // stride))
    return slice(first, max(first, min(node.map_shape[1 + axis], (size - 1 - offset) // stride + 1)))


def synapse_sums(node: Synapses, source: Interval) -> Sums:
    """What a projection delivers in a step, when each source sends a number within an interval around 0.

    Raises:
        UnsupportedError: 64 bits do not hold a sum.
    """
    negative, positive = weight_totals(node)
    least, greatest = source
    largest = max(int(positive.max()), -int(negative.min())) * max(-least, greatest)
    if 2 * largest > FARTHEST:
        raise UnsupportedError(
            f"a sum of weights can reach {largest}; {FARTHEST // 2} (2^61) is the most that 64 bits are sure to hold",
            where="Synapses",
            fix="use weights of fewer bits, or a smaller range of the inputs",
        )
    low = positive * least + negative * greatest
    high = positive * greatest + negative * least
    exact = (int(low.min()), int(high.max()))
    if (bits := node.delivery.wrap_bits) is not None:
        room = bits_of(bits)
        wraps = (low < room[0]) | (high > room[1])
        low, high = np.where(wraps, room[0], low), np.where(wraps, room[1], high)
    low, high = (_shifted(side, node.delivery.shift) for side in (low, high))
    return Sums(low, high, exact)


def _shifted(sums: Totals, bits: int) -> Totals:
    if bits < 0:
        return sums >> -bits
    if int(np.abs(sums).max()) << bits > FARTHEST:
        largest = int(np.abs(sums).max()) << bits
        message = f"a sum of weights shifted by {bits} bits can reach {largest}, beyond what 64 bits are sure to hold"
        raise UnsupportedError(message, where="Synapses", fix="use smaller weights, or a smaller shift")
    return sums << bits


def source_intervals(graph: Graph[FixedNode]) -> Mapping[str, Interval]:
    """What each input and each spiking population can send; 0 is among it, for before step 0 nothing was sent.

    Raises:
        UnsupportedError: nothing bounds what a population sends.
    """
    found: dict[str, Interval] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, FixedInput):
            found[name] = (node.low, node.high)
        elif isinstance(node, Population) and node.spikes:
            with locating(name):
                found[name] = _sent(node)
    return found


def _sent(node: Population) -> Interval:
    program = node.program
    if program.output in program.truths:
        return BOOLEAN
    anything = dict.fromkeys((*program.ports, *program.variables), (-FARTHEST, FARTHEST))
    low, high = intervals(program, {**anything, **_extremes(node.parameters)})[program.output]
    if max(-low, high) >= 2**31:
        message = f"spikes of {low} to {high}: 32 bits do not hold them"
        raise UnsupportedError(message, where="Population", fix="saturate what the neuron sends")
    return min(low, 0), max(high, 0)


def synapses_intervals(graph: Graph[FixedNode]) -> Mapping[str, Sums]:
    """What each projection of the graph delivers in a step.

    Raises:
        UnsupportedError: 64 bits do not hold a sum. GraphError: a projection from what does not send spikes.
    """
    sources, found = source_intervals(graph), {}
    for name, node in graph.nodes.items():
        if not isinstance(node, Synapses):
            continue
        reach: Interval = (0, 0)
        for edge in graph.incoming(name):
            if edge.source not in sources:
                message = f"{edge.source!r} sends no spikes: its values cannot be sent through integer weights"
                raise GraphError(message, where=name, fix="put a spiking population before the weights")
            low, high = sources[edge.source]
            reach = (reach[0] + low, reach[1] + high)
        with locating(name):
            found[name] = synapse_sums(node, reach)
    return found


def port_intervals(
    graph: Graph[FixedNode], sums: Mapping[str, Sums] | None = None
) -> Mapping[str, Mapping[str, Interval]]:
    """What can arrive in a step at each port of each population, over all its neurons.

    sums: of `synapses_intervals`, where the caller has them.

    Raises:
        UnsupportedError: 64 bits do not hold a sum.
        GraphError: what feeds a port is no projection; a saturated port with negative weights.
    """
    sums = synapses_intervals(graph) if sums is None else sums
    return {
        name: {port: _arriving(graph, name, node, port, sums) for port in node.ports}
        for name, node in graph.nodes.items()
        if isinstance(node, Population)
    }


def _arriving(graph: Graph[FixedNode], name: str, node: Population, port: str, sums: Mapping[str, Sums]) -> Interval:
    low = high = np.zeros(math.prod(node.shape), np.int64)
    for edge in graph.incoming(name, port):
        if edge.source not in sums:
            message = f"{edge.source!r} feeds port {port!r}, and is no projection"
            raise GraphError(message, where=name, fix="put weights before the population")
        low, high = low + sums[edge.source].low, high + sums[edge.source].high
        if max(-int(low.min()), int(high.max())) > FARTHEST:
            reached = max(-int(low.min()), int(high.max()))
            message = f"what arrives at port {port!r} can reach {reached}, beyond what 64 bits are sure to hold (2^62)"
            raise UnsupportedError(message, where=name, fix="use weights of fewer bits, or a smaller shift")
    reach = int(low.min()), int(high.max())
    if (top := node.saturated.get(port)) is None:
        return reach
    if reach[0] < 0:
        message = f"sums at port {port!r} saturate, and can be negative: {reach[0]} in a step"
        raise GraphError(message, where=name, fix="send only weights and values >= 0 to a saturated port")
    return min(reach[0], top), min(reach[1], top)


def population_ranges(population: Population, ports: Mapping[str, Interval]) -> Ranges:
    """The range of every value of a population's program, over all its neurons and any number of steps.

    Raises:
        UnsupportedError: 64 bits do not hold some value.
    """
    parameters, initial = _extremes(population.parameters), _extremes(population.initial_state)
    return state_ranges(population.program, ports, parameters, initial)


def _extremes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Interval]:
    return {name: (int((few := compact(array)).min()), int(few.max())) for name, array in arrays.items()}


def all_ranges(graph: Graph[FixedNode], sums: Mapping[str, Sums] | None = None) -> Mapping[str, Ranges]:
    """`population_ranges` of every population, with what can arrive at its ports; errors name it. sums: as above."""
    ports, found = port_intervals(graph, sums), {}
    for name, node in graph.nodes.items():
        if isinstance(node, Population):
            with locating(name):
                found[name] = population_ranges(node, ports[name])
    return found
