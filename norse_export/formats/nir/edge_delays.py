"""Edges with a delay, which NIR does not have: written as nodes of type Delay, and made edges again on reading.

That a loop takes one step is understood, and has no node.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from norse_export.ir.delay import Delay
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.stages import ContinuousNode

from .document import NIRDocument, NIRNode
from .notes import LOOP_DELAY_STEPS, PREFIX, Notes, prefixed

_TARGETS_IN_A_SWEEP = 4096  # bits for each node: 50 MB for 100,000 nodes
_ROLE, _EDGE = f"{PREFIX}role", "delay"


def written_as_nodes(graph: Graph[ContinuousNode]) -> Mapping[Edge, float | None]:
    """The edges whose delay needs a node, and the seconds of a step there: None where nothing tells them.

    The step is that of the population at the edge's target, else at its source, else the first of the graph.
    """
    if not any(edge.delay_steps for edge in graph.edges):
        return {}
    steps = {name: node.dt for name, node in graph.nodes.items() if isinstance(node, NeuronModel | Delay)}
    first = next(iter(steps.values()), None)
    closing = _closing(graph)
    late = (edge for edge in graph.edges if edge.delay_steps and edge not in closing)
    return {edge: steps.get(edge.target, steps.get(edge.source, first)) for edge in late}


def as_node(graph: Graph[ContinuousNode], edge: Edge, dt: float | None) -> NIRNode:
    """The node that stands for an edge's delay, dt being the seconds of a step."""
    if dt is None:
        raise ValueError(f"{edge}: of no length in seconds")
    delay = np.broadcast_to(np.float64(edge.delay_steps * dt), graph.nodes[edge.source].output_shape)
    return NIRNode("Delay", {"delay": delay}, prefixed({"role": _EDGE, "dt": dt}))


def taken_out(document: NIRDocument) -> tuple[NIRDocument, Counter[tuple[str, str, int]]]:
    """Give the document without the nodes that stand for edges, and these edges: source, target, delay in steps.

    A node that was changed, so that it is no delay of one length between two nodes, stays.
    """
    found = {name: node for name, node in document.nodes.items() if _stands_for_an_edge(node)}
    if not found:
        return document, Counter()
    sources: dict[str, list[str]] = {name: [] for name in found}
    targets: dict[str, list[str]] = {name: [] for name in found}
    for a, b in document.edges:
        if a in found:
            targets[a].append(b)
        if b in found:
            sources[b].append(a)
    late: dict[str, tuple[str, str, int]] = {}
    for name, node in found.items():
        steps = _steps(node, name)
        if steps is not None and len(sources[name]) == len(targets[name]) == 1:
            late[name] = (sources[name][0], targets[name][0], steps)
    nodes = {name: node for name, node in document.nodes.items() if name not in late}
    edges = tuple((a, b) for a, b in document.edges if a not in late and b not in late)
    out = NIRDocument(document.version, nodes, edges, document.metadata, document.warnings)
    return out, Counter(late.values())


def _stands_for_an_edge(node: NIRNode | NIRDocument) -> bool:
    role = node.metadata.get(_ROLE)
    return isinstance(node, NIRNode) and node.type == "Delay" and isinstance(role, str) and role == _EDGE


def _steps(node: NIRNode | NIRDocument, name: str) -> int | None:
    """The one length of all cells, in steps; None where there is none."""
    dt = Notes.of(node.metadata, name).number("dt", positive=True)
    delay = np.asarray(node.fields["delay"]) if isinstance(node, NIRNode) else None
    if dt is None or delay is None or delay.dtype != np.float64 or not np.all(delay == delay.flat[0]):
        return None
    steps = float(delay.flat[0]) / dt
    return round(steps) if math.isfinite(steps) and round(steps) * dt == float(delay.flat[0]) else None


def _closing(graph: Graph[ContinuousNode]) -> set[Edge]:
    """Edges of one step whose target leads back to their source without any further delay.

    Two nodes of one strongly connected component may be joined by loops of several steps only, so components alone do
    not tell. One sweep in the graph's order finds, as bits, which of many targets lead to each node.
    """
    delayed = [edge for edge in graph.edges if edge.delay_steps == LOOP_DELAY_STEPS]
    targets = list(dict.fromkeys(edge.target for edge in delayed))
    closing: set[Edge] = set()
    for first in range(0, len(targets), _TARGETS_IN_A_SWEEP):
        bit = {name: 1 << k for k, name in enumerate(targets[first : first + _TARGETS_IN_A_SWEEP])}
        led: dict[str, int] = {}
        for name in graph.order:
            led[name] = bit.get(name, 0)
            for edge in graph.incoming(name):
                if not edge.delay_steps and graph.instant(edge):
                    led[name] |= led[edge.source]
        closing.update(edge for edge in delayed if led[edge.source] & bit.get(edge.target, 0))
    return closing
