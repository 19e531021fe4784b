"""A graph of named nodes and ordered edges: immutable, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from norse_export.errors import Finding, GraphError

Shape = tuple[int, ...]


class Node(Protocol):
    """What every node of every stage has: feature shapes without time and batch, and named input ports."""

    @property
    def input_shape(self) -> Shape:
        """Shape of one sample of one step at each input port."""

    @property
    def output_shape(self) -> Shape:
        """Shape of one sample of one step that the node sends."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Input ports, in the order in which the node adds them up; empty for an input of the graph."""


N = TypeVar("N", bound=Node, covariant=True)
M = TypeVar("M", bound=Node)


@dataclass(frozen=True, slots=True)
class Edge:
    """What `source` sends at step t arrives at `target`'s port at step t + delay_steps; before that, zeros arrive."""

    source: str
    target: str
    port: str = "x"
    delay_steps: int = 0


@dataclass(frozen=True, eq=False)
class Graph(Generic[N]):
    """Nodes by name and the edges between them.

    The edges that arrive at one port are summed in the order in which they stand in `edges`. Every port of every node
    has at least one edge; shapes agree along every edge; every loop has a delay of at least one step.

    Raises:
        GraphError: any of this does not hold; every violation is a finding.
    """

    nodes: Mapping[str, N]
    edges: tuple[Edge, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        findings = [*_broken_edges(self), *_unconnected(self)]
        if not findings:
            findings = [*_shape_mismatches(self), *_instant_loops(self)]
        if findings:
            raise GraphError.of(findings)

    def incoming(self, name: str, port: str | None = None) -> tuple[Edge, ...]:
        """Edges into a node, or into one of its ports, in the order of summation."""
        return tuple(edge for edge in self._incoming[name] if port is None or edge.port == port)

    def instant(self, edge: Edge) -> bool:
        """Whether what the source sends counts in what the target sends in the same step; a Delay may wait."""
        return not edge.delay_steps and not getattr(self.nodes[edge.target], "waits", False)

    def outgoing(self, name: str) -> tuple[Edge, ...]:
        """Edges out of a node."""
        return tuple(edge for edge in self.edges if edge.source == name)

    @cached_property
    def _incoming(self) -> Mapping[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            found[edge.target].append(edge)
        return {name: tuple(edges) for name, edges in found.items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Node names such that each stands behind all it depends on within a step; else, in the order of `nodes`."""
        return tuple(name for group in components(self, instant=True) for name in group)

    def map(self, rule: Callable[[str, N], M]) -> Graph[M]:
        """Give the graph with each node replaced by `rule(name, node)`; edges and metadata stay."""
        return Graph({name: rule(name, node) for name, node in self.nodes.items()}, self.edges, self.metadata)


def components(graph: Graph[Node], *, instant: bool = False) -> tuple[tuple[str, ...], ...]:
    """Strongly connected components, each behind those that it depends on.

    With `instant` only instant edges count. Within a component the order of `graph.nodes` is kept.
    Source: R. Tarjan, Depth-first search and linear graph algorithms, SIAM J. Comput. 1(2), 1972; without recursion.
    """
    sources = {
        name: [edge.source for edge in graph.incoming(name) if not instant or graph.instant(edge)]
        for name in graph.nodes
    }
    position = {name: number for number, name in enumerate(graph.nodes)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: dict[str, None] = {}  # the stack of Tarjan's algorithm, with fast membership
    found: list[tuple[str, ...]] = []
    for root in graph.nodes:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(root, index, low, open_nodes, work, sources)
        while work:
            name, rest = work[-1]
            for source in rest:
                if source not in index:
                    _enter(source, index, low, open_nodes, work, sources)
                    break
                if source in open_nodes:
                    low[name] = min(low[name], index[source])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    found.append(tuple(sorted(_pop_through(open_nodes, name), key=position.__getitem__)))
    return tuple(found)


def _enter(
    name: str,
    index: dict[str, int],
    low: dict[str, int],
    open_nodes: dict[str, None],
    work: list[tuple[str, Iterator[str]]],
    sources: Mapping[str, list[str]],
) -> None:
    index[name] = low[name] = len(index)
    open_nodes[name] = None
    work.append((name, iter(sources[name])))


def _pop_through(open_nodes: dict[str, None], name: str) -> Iterator[str]:
    while True:
        last, _ = open_nodes.popitem()
        yield last
        if last == name:
            return


def _broken_edges(graph: Graph[Node]) -> Iterator[Finding]:
    seen: set[Edge] = set()
    for edge in graph.edges:
        where = f"edge {edge.source} -> {edge.target}"
        for end in (edge.source, edge.target):
            if end not in graph.nodes:
                yield Finding("edge", "error", where, f"the edge names {end!r}, which is no node", "remove the edge")
        if edge.target in graph.nodes and edge.port not in graph.nodes[edge.target].ports:
            message = f"{edge.target!r} has no input port {edge.port!r}"
            yield Finding("edge", "error", where, message, "connect one of the ports that the node has")
        if edge.delay_steps < 0:
            yield Finding("edge", "error", where, f"the delay is {edge.delay_steps} steps", "use a delay of 0 or more")
        if edge in seen:
            yield Finding("edge", "error", where, "duplicate edge: its input would count twice", "remove one of them")
        seen.add(edge)


def _unconnected(graph: Graph[Node]) -> Iterator[Finding]:
    fed = {(edge.target, edge.port) for edge in graph.edges}
    for name, node in graph.nodes.items():
        for port in node.ports:
            if (name, port) not in fed:
                message = f"nothing is connected to its input {port!r}"
                yield Finding("unconnected", "error", name, message, "connect the node, or remove it")


def _shape_mismatches(graph: Graph[Node]) -> Iterator[Finding]:
    for edge in graph.edges:
        sent, taken = graph.nodes[edge.source].output_shape, graph.nodes[edge.target].input_shape
        if sent != taken:
            message = f"shape mismatch: {edge.source!r} sends {sent}, {edge.target!r} takes {taken}"
            fix = "make the two sizes agree in the model"
            yield Finding("shape", "error", f"{edge.source} -> {edge.target}", message, fix)


def _instant_loops(graph: Graph[Node]) -> Iterator[Finding]:
    for group in components(graph, instant=True):
        looped = len(group) > 1 or any(
            edge.source == group[0] and graph.instant(edge) for edge in graph.incoming(group[0])
        )
        if looped:
            message = f"a cycle without a delay: the loop through {', '.join(group)} has no defined value"
            yield Finding("loop", "error", group[0], message, "put a neuron or a delay into the loop")
