"""What may stand next to what in a fixed graph, and where its host part begins."""

from __future__ import annotations

from collections.abc import Iterator

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, FixedInput, Population, SparseSynapses, Synapses
from norse_export.ir.graph import Edge, Graph, components
from norse_export.ir.stages import FixedNode

_FIX = "compose the layer into the synapses before it, or move it behind the last spikes"


def check_connections(graph: Graph[FixedNode]) -> None:
    """Refuse what the engine does not have.

    Raises:
        UnsupportedError: all of it at once.
    """
    findings = [
        Finding("connection", "error", f"{edge.source} -> {edge.target}", message, _FIX)
        for edge in graph.edges
        for message in _wrong(edge, graph.nodes[edge.source], graph.nodes[edge.target])
    ]
    for group in components(graph):
        loop = len(group) > 1 or any(edge.source == group[0] for edge in graph.incoming(group[0]))
        if loop and on_host(graph.nodes[group[0]]):
            message = "a loop among layers without neurons"
            findings.append(Finding("connection", "error", group[0], message, "put a population into the loop"))
    if findings:
        raise UnsupportedError.of(findings)


def _wrong(edge: Edge, source: FixedNode, target: FixedNode) -> Iterator[str]:
    match target:
        case DenseSynapses() | ConvSynapses() | SparseSynapses():
            spiking = isinstance(source, FixedInput) or (isinstance(source, Population) and source.spikes)
            if not spiking:
                yield "synapses take an input or the spikes of a population, nothing else"
        case Population():
            if not isinstance(source, Synapses):
                yield "a population takes sums of synapses, nothing else"
            elif edge.delay_steps:
                yield f"a delay of {edge.delay_steps} steps behind synapses: it belongs before them"
        case _:
            return


def on_host(node: FixedNode) -> bool:
    """Whether a node is a layer of floats, which runs on the host."""
    return not isinstance(node, FixedInput | Synapses | Population)


def read_by_host(graph: Graph[FixedNode]) -> tuple[str, ...]:
    """Names of the integer nodes whose values the host part takes, in the order of the nodes."""
    read = {edge.source for edge in graph.edges if on_host(graph.nodes[edge.target])}
    return tuple(name for name, node in graph.nodes.items() if name in read and not on_host(node))
