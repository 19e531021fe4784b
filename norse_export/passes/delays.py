"""Nodes that delay -> edges that delay: the discrete graph has delays on its edges alone, in steps."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from norse_export.errors import LimitError
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Scale, Sum
from norse_export.ir.stages import ContinuousNode

MAX_LENGTHS = 1024  # of one node: each length is a mask over all its cells


def on_edges(graph: Graph[ContinuousNode]) -> Graph[ContinuousNode]:
    """Put each Delay onto the edges that lead to it; the node stays, as the sum of what arrives there.

    Where its cells differ, there is a mask for each length, `<name>.<steps>`, which lets the cells of this length pass,
    and the node is the sum of these. Each cell is a product with 1 and sums with 0: exact.

    Raises:
        LimitError: a node of more lengths than MAX_LENGTHS.
    """
    delays = {name: node for name, node in graph.nodes.items() if isinstance(node, Delay)}
    if not delays:
        return graph
    nodes: dict[str, ContinuousNode] = {}
    arriving: dict[str, list[Edge]] = {}  # in the place of the edges into a Delay
    for name, node in graph.nodes.items():
        if isinstance(node, Delay):
            arriving[name] = []
            for steps, place, mask in _masks(name, node, graph.nodes):
                if mask is not None:
                    nodes[place] = mask
                    arriving[name].append(Edge(place, name))
                edges = graph.incoming(name)
                arriving[name] += [replace(e, target=place, delay_steps=e.delay_steps + steps) for e in edges]
            nodes[name] = Sum(node.shape)
        else:
            nodes[name] = node
    others = [edge for edge in graph.edges if edge.target not in delays]
    return Graph(nodes, (*others, *(edge for made in arriving.values() for edge in made)), graph.metadata)


def _masks(name: str, node: Delay, taken: Container[str]) -> list[tuple[int, str, Scale | None]]:
    """For each length in steps where the signal goes, and the mask that stands there; none where all are the same."""
    steps = node.steps
    lengths = [int(length) for length in np.unique(steps)]
    if len(lengths) > MAX_LENGTHS:
        message = f"too large: delays of {len(lengths)} different lengths in one node; {MAX_LENGTHS} are possible"
        raise LimitError(message, where=name, fix="give its cells fewer lengths, or a larger time step")
    if len(lengths) == 1:
        return [(lengths[0], name, None)]
    return [(k, _free(f"{name}.{k}", taken), Scale((steps == k).astype(np.float32))) for k in lengths]


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name
