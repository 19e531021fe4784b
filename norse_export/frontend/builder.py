"""The graph that a recording grows: nodes and edges so far, the findings, and which tensor comes from which node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from norse_export.errors import ExportError, Finding, UnsupportedError, locating
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import ContinuousNode


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What a traced tensor stands for: what `node` sends. `node` is None where an operation was not understood.

    lead: number of leading axes that are not features: 1 for batch, 2 for time and batch.
    """

    node: str | None
    lead: int


@dataclass(slots=True)
class Builder:
    """A graph under construction."""

    nodes: dict[str, ContinuousNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)  # ids of values that a folded normalisation took the place of
    consumed: set[str] = field(default_factory=set)

    def unique(self, name: str) -> str:
        """A node name that is not taken: the name itself, or with the number of the call behind it."""
        number, candidate = 1, name
        while candidate in self.nodes:
            number += 1
            candidate = f"{name}@{number}"
        return candidate

    def add(self, name: str, make: Callable[[], ContinuousNode], lead: int, *sources: tuple[Value, str]) -> Value:
        """Add a node fed by `sources` (value, port), in this order; a node that is impossible becomes a finding."""
        try:
            with locating(name):
                node = make()
        except ExportError as error:
            self.findings.extend(error.findings)
            return Value(None, lead)
        for value, port in sources:
            if id(value) in self.replaced:
                self.refuse(
                    "batch_norm", name, "a value is used both before and after its batch normalisation", _BN_FIX
                )
            if value.node is None:
                return Value(None, lead)
        self.nodes[name] = node
        for value, port in sources:
            if value.node is not None:
                self.edges.append(Edge(value.node, name, port))
                self.consumed.add(value.node)
        return Value(name, lead)

    def connect(self, source: str, target: str, port: str, delay_steps: int) -> None:
        """Add an edge between two nodes."""
        self.edges.append(Edge(source, target, port, delay_steps))

    def replace(self, value: Value, node: ContinuousNode) -> Value:
        """Put another node in the place of the one that sends `value`; the old value may not be used any more."""
        if value.node is not None:
            self.nodes[value.node] = node
        self.replaced.add(id(value))
        self._kept.append(value)
        return Value(value.node, value.lead)

    _kept: list[Value] = field(default_factory=list)  # keeps ids in `replaced` from being used again

    def refuse(self, kind: str, where: str, message: str, fix: str) -> None:
        """Note that something cannot be traced; the recording goes on, to find all that cannot."""
        finding = Finding(kind, "error", where, message, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    def finish(self, metadata: dict[str, str]) -> Graph[ContinuousNode]:
        """Give the graph, without what leads to no output.

        Raises:
            UnsupportedError: something was not understood; all findings are listed.
            GraphError: the graph is impossible.
        """
        if self.findings:
            raise UnsupportedError.of(self.findings)
        kept = set(_leading_to_outputs(self.nodes, self.edges))
        nodes = {name: node for name, node in self.nodes.items() if name in kept}
        return Graph(nodes, tuple(edge for edge in self.edges if {edge.source, edge.target} <= kept), metadata)

    def structure(self) -> tuple[Any, ...]:
        """What has to be the same in every recording of one model: names, kinds, shapes, edges."""
        nodes = tuple(
            (name, type(node).__name__, node.input_shape, node.output_shape) for name, node in self.nodes.items()
        )
        return nodes, tuple(self.edges), tuple((finding.kind, finding.where) for finding in self.findings)


_BN_FIX = "let the batch normalisation be the only one that takes the layer's output"


def _leading_to_outputs(nodes: dict[str, ContinuousNode], edges: list[Edge]) -> Iterator[str]:
    """Nodes that an output depends on; a population is always kept, so that its spikes are compared."""
    into: dict[str, list[str]] = {}
    for edge in edges:
        into.setdefault(edge.target, []).append(edge.source)
    has_state = (name for name, node in nodes.items() if hasattr(node, "dt") or type(node).__name__ == "Output")
    work, seen = [*has_state], set[str]()
    while work:
        name = work.pop()
        if name not in seen:
            seen.add(name)
            yield name
            work.extend(into.get(name, ()))
