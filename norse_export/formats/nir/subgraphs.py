"""Graphs within graphs: what an edge to a sub-graph means, and a document with all sub-graphs laid open.

Inside, the nodes of type Input and Output are the ports of a sub-graph. An edge from or to a sub-graph is one from its
only Output or to its only Input; where it has several, the edge names one: 'inner.left'. Laid open, a node has the
names on the way to it, joined with dots, and a port of a sub-graph is a node of type `PORT`, which sends the sum of
what arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .declared import DeclaredGraph, NodePath
from .document import NIRDocument, NIRNode

PORT = "Port"  # no primitive of NIR's: its Input or Output, within a sub-graph
_Graph = NIRDocument | DeclaredGraph


@dataclass(frozen=True, slots=True)
class Opened:
    """A document without sub-graphs, and the name there of each node, by the names on the way to it."""

    document: NIRDocument
    names: Mapping[NodePath, str]


class Ends:
    """Which nodes the edges of a graph join."""

    def __init__(self, graph: _Graph) -> None:
        self._nodes: Mapping[str, Any] = graph.nodes
        self._ports: dict[tuple[str, str], tuple[str, ...]] = {}

    def ports(self, name: str, kind: str) -> tuple[str, ...] | None:
        """Names of the nodes of type `kind`, Input or Output, of a sub-graph; None where the name is none of one."""
        graph = self._nodes.get(name)
        if not isinstance(graph, _Graph):
            return None
        if (name, kind) not in self._ports:
            nodes: Mapping[str, Any] = graph.nodes
            found = (n for n, node in nodes.items() if not isinstance(node, _Graph) and node.type == kind)
            self._ports[name, kind] = tuple(found)
        return self._ports[name, kind]

    def at(self, end: str, kind: str) -> NodePath | None:
        """The node that an edge's end is at, by the names on the way to it; None where there is none, or no single one.

        kind: of the port, where the end is at a sub-graph: Output of an edge's source, Input of its target.
        """
        if end in self._nodes:
            found = self.ports(end, kind)
            return (end,) if found is None else (end, found[0]) if len(found) == 1 else None
        for dot in (k for k, letter in enumerate(end) if letter == "."):
            inner, port = end[:dot], end[dot + 1 :]
            if port in (self.ports(inner, kind) or ()):
                return inner, port
        return None


def laid_open(document: NIRDocument) -> Opened:
    """Give the document with the nodes of all sub-graphs in one; metadata of sub-graphs themselves are left out.

    A name that is taken gets underscores behind it: a node may be called 'a.b' beside a sub-graph 'a' with a node 'b'.
    """
    if not any(isinstance(node, NIRDocument) for node in document.nodes.values()):
        return Opened(document, {(name,): name for name in document.nodes})
    found = dict(_nodes(document, ()))
    names: dict[NodePath, str] = {}
    taken: set[str] = set()
    for path in sorted(found, key=lambda path: (len(path), path)):
        name = ".".join(path)
        while name in taken:
            name += "_"
        names[path] = name
        taken.add(name)
    nodes = {names[path]: _opened(path, node) for path, node in found.items()}
    edges = tuple((names[a], names[b]) for a, b in _edges(document, ()))
    return Opened(NIRDocument(document.version, nodes, edges, document.metadata, document.warnings), names)


def _nodes(document: NIRDocument, path: NodePath) -> Iterator[tuple[NodePath, NIRNode]]:
    for name, node in document.nodes.items():
        if isinstance(node, NIRDocument):
            yield from _nodes(node, (*path, name))
        else:
            yield (*path, name), node


def _opened(path: NodePath, node: NIRNode) -> NIRNode:
    is_port = len(path) > 1 and node.type in ("Input", "Output")
    return NIRNode(PORT, node.fields, node.metadata) if is_port else node


def _edges(document: NIRDocument, path: NodePath) -> Iterator[tuple[NodePath, NodePath]]:
    ends = Ends(document)
    for edge in document.edges:
        a, b = ends.at(edge[0], "Output"), ends.at(edge[1], "Input")
        if a is None or b is None:  # such documents are refused where they are read
            raise ValueError(f"the edge {edge[0]!r} -> {edge[1]!r} has no ends")
        yield (*path, *a), (*path, *b)
    for name, node in document.nodes.items():
        if isinstance(node, NIRDocument):
            yield from _edges(node, (*path, name))
