"""Faults of edges, weights, deliveries and parameters: changes of a fixed graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import DenseSynapses, Population, SparseSynapses
from norse_export.ir.graph import Edge, Graph

Array = NDArray[Any]
GraphChange = Callable[[Graph[Any]], Graph[Any]]


def of_nodes(kind: Any, change: Callable[[Any], Any]) -> GraphChange:
    return lambda graph: graph.map(lambda _, node: change(node) if isinstance(node, kind) else node)


def of_edges(change: Callable[[Edge], Edge]) -> GraphChange:
    return lambda graph: Graph(graph.nodes, tuple(change(edge) for edge in graph.edges))


# Edges


def without_delays(graph: Graph[Any]) -> Graph[Any]:
    looped = {edge for edge in graph.edges if edge.delay_steps and _leads_back(graph, edge)}
    return Graph(graph.nodes, tuple(replace(e, delay_steps=1 if e in looped else 0) for e in graph.edges))


def _leads_back(graph: Graph[Any], edge: Edge) -> bool:
    reached, waiting = set(), [edge.target]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other.target for other in graph.outgoing(name)]
    return edge.source in reached


def later(edge: Edge) -> Edge:
    return replace(edge, delay_steps=edge.delay_steps + (edge.delay_steps > 0))


def ring_of_8(edge: Edge) -> Edge:
    return replace(edge, delay_steps=edge.delay_steps % 8)


def first_projection_only(graph: Graph[Any]) -> Graph[Any]:
    seen: set[tuple[str, str]] = set()
    dropped: set[str] = set()
    for edge in graph.edges:
        if isinstance(graph.nodes[edge.target], Population):
            dropped |= {edge.source} if (edge.target, edge.port) in seen else set()
            seen.add((edge.target, edge.port))
    nodes = {name: node for name, node in graph.nodes.items() if name not in dropped}
    return Graph(nodes, tuple(edge for edge in graph.edges if not {edge.source, edge.target} & dropped))


def ports_exchanged(graph: Graph[Any]) -> Graph[Any]:
    def other(edge: Edge) -> Edge:
        ports = graph.nodes[edge.target].ports
        return replace(edge, port=ports[len(ports) - 1 - ports.index(edge.port)])

    return Graph(graph.nodes, tuple(map(other, graph.edges)))


# Weights and deliveries


def transposed(node: DenseSynapses) -> DenseSynapses:
    square = node.weight.shape[0] == node.weight.shape[1]
    return replace(node, weight=node.weight.T.copy()) if square else node


def last_of_a_pair(node: SparseSynapses) -> SparseSynapses:
    """Of several synapses between one pair of cells the last counts alone."""
    weight = node.weight.copy()
    source = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
    pairs = list(zip(source.tolist(), node.targets.tolist(), strict=True))
    for number, pair in enumerate(pairs):
        if pair in pairs[number + 1 :]:
            weight[number] = 0
    return replace(node, weight=weight)


def neighbours_synapses(node: SparseSynapses) -> SparseSynapses:
    """The list of each source begins one synapse too late."""
    return replace(node, starts=np.array([0, *np.minimum(node.starts[1:-1] + 1, node.starts[-1]), node.starts[-1]]))


def each_weight_shifted(node: Any) -> Any:
    right = max(0, -node.delivery.shift)
    delivery = replace(node.delivery, shift=max(0, node.delivery.shift))
    return replace(node, weight=node.weight >> right, delivery=delivery)


def low_bit_dropped(node: Any) -> Any:
    return replace(node, weight=node.weight & ~np.ones_like(node.weight))


def symmetric(node: Any) -> Any:
    return replace(node, weight=np.maximum(node.weight, -np.iinfo(node.weight.dtype).max))


def unsigned(node: Any) -> Any:
    wide = node.weight.astype(np.int32)
    return replace(node, weight=wide % 256 if node.weight.dtype == np.int8 else wide)


def without(**delivery: Any) -> Callable[[Any], Any]:
    return lambda node: replace(node, delivery=replace(node.delivery, **delivery))


def spikes_for_payloads(node: Population) -> Population:
    program = node.program
    return replace(node, program=replace(program, output=program.output if program.spike is None else program.spike))


def no_state(variable: str) -> GraphChange:
    def change(node: Population) -> Population:
        return replace(node, initial_state={k: v * (k != variable) for k, v in node.initial_state.items()})

    return of_nodes(Population, change)


def parameter(name: str, change: Callable[[Array], Array]) -> GraphChange:
    def changed(node: Population) -> Population:
        return replace(node, parameters={k: change(v) if k == name else v for k, v in node.parameters.items()})

    return of_nodes(Population, changed)


def first_neurons(node: Population) -> Population:
    """All neurons have the parameters of the first."""
    return replace(node, parameters={k: np.full(node.shape, v.flat[0]) for k, v in node.parameters.items()})


def no_unit(node: Population) -> Population:
    return replace(node, unit={})


def unsaturated(node: Population) -> Population:
    return replace(node, saturated={})
