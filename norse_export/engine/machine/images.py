"""The memories of every core for the clocked model, made synapse by synapse in plain Python from the page alone.

Written apart from load.py on purpose: the two are compared through the cycles that follow from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from norse_export.engine.machine.config import MachineConfig
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.placement import Placement
from norse_export.ir.stages import FixedNode

Cell = tuple[str, int]  # a source, and the number of one of its cells


@dataclass(frozen=True, slots=True)
class Word:
    """A word of synapse memory: its delay, and for each bank (row, weight) of a synapse."""

    delay: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Neuron:
    """A neuron in the tables of its core: where its accumulators stand, and how long it keeps the pipeline's input."""

    cell: Cell
    addresses: tuple[int, ...]
    interval: int


@dataclass(slots=True)
class CoreImage:
    """What is written into a core before the run: axon table and synapse memory as one, neurons of each round."""

    axons: list[list[Word]] = field(default_factory=list)
    neurons: dict[int, list[Neuron]] = field(default_factory=dict)
    accumulators: int = 0


@dataclass(slots=True)
class Image:
    """Cores, and for each source cell its destinations: (core, axon), the host as core -1."""

    cores: list[CoreImage]
    lists: dict[Cell, list[tuple[int, int]]]
    rounds: int
    inputs: list[str]
    steady: set[str]


def image(graph: Graph[FixedNode], placement: Placement, config: MachineConfig) -> Image:
    """Write the memories of a placed graph."""
    cores = [CoreImage() for _ in range(placement.width * placement.height)]
    depth = _depths(graph)
    addresses = _neurons(graph, placement, config, depth, cores)
    lists: dict[Cell, list[tuple[int, int]]] = {}
    names = [name for name in graph.order if name in depth]
    cells_of_host = 0
    for name in names:
        by_cell = _rows(graph, name, addresses, config)
        to_host = isinstance(graph.nodes[name], Population) and _leads_to_output(graph, name)
        for cell in range(prod(graph.nodes[name].output_shape)):
            destinations = []
            for core in sorted(by_cell[cell]):
                destinations.append((core, len(cores[core].axons)))
                cores[core].axons.append(by_cell[cell][core])
            if to_host:
                destinations.append((-1, cells_of_host))
                cells_of_host += 1
            lists[name, cell] = destinations
    inputs = [name for name in names if isinstance(graph.nodes[name], FixedInput)]
    steady = {name for name, node in graph.nodes.items() if isinstance(node, Population) and not node.spikes}
    return Image(cores, lists, 1 + max(depth.values()), inputs, steady)


def _depths(graph: Graph[FixedNode]) -> dict[str, int]:
    """Longest paths without delay, relaxed until nothing grows."""
    depth = {name: 0 for name, node in graph.nodes.items() if isinstance(node, FixedInput | Population)}
    grown = True
    while grown:
        grown = False
        for first in graph.edges:
            for second in graph.edges:
                joined = first.target == second.source and first.delay_steps == 0 and first.source in depth
                if joined and second.target in depth and depth[second.target] <= depth[first.source]:
                    depth[second.target] = depth[first.source] + 1
                    grown = True
    return depth


def _leads_to_output(graph: Graph[FixedNode], name: str) -> bool:
    seen: set[str] = set()

    def leads(here: str) -> bool:
        if here in seen:
            return False
        seen.add(here)
        node = graph.nodes[here]
        if isinstance(node, Output):
            return True
        return not isinstance(node, Population) and any(leads(edge.target) for edge in graph.outgoing(here))

    return any(leads(edge.target) for edge in graph.outgoing(name))


def _neurons(
    graph: Graph[FixedNode], placement: Placement, config: MachineConfig, depth: dict[str, int], cores: list[CoreImage]
) -> dict[tuple[Edge, int], tuple[int, int]]:
    """Fill the tables of neurons; give for each input of a population and neuron (core, address)."""
    addresses: dict[tuple[Edge, int], tuple[int, int]] = {}
    for part in placement.parts:
        core = cores[part.core]
        into = [e for port in graph.nodes[part.population].ports for e in graph.incoming(part.population, port)]
        base = core.accumulators
        here = core.neurons.setdefault(depth[part.population], [])
        for neuron in range(part.start, part.stop):
            own = []
            for number, edge in enumerate(into):
                address = base + number * (part.stop - part.start) + neuron - part.start
                addresses[edge, neuron] = (part.core, address)
                own.append(address)
            here.append(Neuron((part.population, neuron), tuple(own), max(config.neuron_interval, len(into))))
        core.accumulators += len(into) * (part.stop - part.start)
    return addresses


def _rows(
    graph: Graph[FixedNode], source: str, addresses: dict[tuple[Edge, int], tuple[int, int]], config: MachineConfig
) -> dict[int, dict[int, list[Word]]]:
    """For each cell of a source and core its row of words."""
    banks: dict[int, dict[int, dict[int, list[list[tuple[int, int]]]]]] = defaultdict(lambda: defaultdict(dict))
    for edge in graph.outgoing(source):
        node = graph.nodes[edge.target]
        if not isinstance(node, DenseSynapses | ConvSynapses | SparseSynapses):
            continue
        synapses = sorted(_synapses(node))
        for into in graph.outgoing(edge.target):
            for cell, target, weight in synapses:
                if (into, target) in addresses and weight != 0:
                    core, address = addresses[into, target]
                    by_delay = banks[cell][core]
                    lanes = by_delay.setdefault(edge.delay_steps, [[] for _ in range(config.lanes)])
                    lanes[address % config.lanes].append((address // config.lanes, weight))
    return {cell: {core: _words(delays) for core, delays in by_core.items()} for cell, by_core in banks.items()} | {
        cell: {} for cell in range(prod(graph.nodes[source].output_shape)) if cell not in banks
    }


def _words(delays: dict[int, list[list[tuple[int, int]]]]) -> list[Word]:
    words = []
    for delay in sorted(delays):
        lanes = delays[delay]
        for number in range(max(len(lane) for lane in lanes)):
            words.append(Word(delay, tuple(lane[number] if number < len(lane) else (0, 0) for lane in lanes)))
    return words


def _synapses(node: DenseSynapses | ConvSynapses | SparseSynapses) -> Iterator[tuple[int, int, int]]:
    """(source cell, target cell, weight) of every synapse."""
    if isinstance(node, DenseSynapses):
        for target in range(node.weight.shape[0]):
            for cell in range(node.weight.shape[1]):
                yield cell, target, int(node.weight[target, cell])
    elif isinstance(node, SparseSynapses):
        for cell in range(len(node.starts) - 1):
            for place in range(node.starts[cell], node.starts[cell + 1]):
                yield cell, int(node.targets[place]), int(node.weight[place])
    else:
        yield from _windows(node)


def _windows(node: ConvSynapses) -> Iterator[tuple[int, int, int]]:
    _, height, width = node.input_shape
    c_out, inside, kernel_y, kernel_x = node.weight.shape
    _, out_y, out_x = node.map_shape
    for k in range(c_out):
        group = k // (c_out // node.groups)
        for oy in range(out_y):
            for ox in range(out_x):
                for c in range(inside):
                    for ky in range(kernel_y):
                        for kx in range(kernel_x):
                            y = oy * node.stride[0] - node.padding[0] + ky * node.dilation[0]
                            x = ox * node.stride[1] - node.padding[1] + kx * node.dilation[1]
                            if 0 <= y < height and 0 <= x < width:
                                cell = ((group * inside + c) * height + y) * width + x
                                yield cell, (k * out_y + oy) * out_x + ox, int(node.weight[k, c, ky, kx])
