"""The host part of a fixed graph: the layers behind the last spikes, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.engine.connections import on_host, read_by_host
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Input, Layer, Output
from norse_export.ir.stages import FixedNode
from norse_export.ir.walk import execute

Array = NDArray[Any]


def host_outputs(graph: Graph[FixedNode], sent: Mapping[str, Array]) -> dict[str, Array]:
    """What the graph's outputs send, float64 [T, B, *shape].

    sent: by name what the integer nodes that the host reads have sent, in the units of the model.
    """
    read = read_by_host(graph)
    if not read:
        return {}
    nodes: dict[str, Layer] = {name: Input(graph.nodes[name].output_shape) for name in read}
    nodes |= {name: node for name, node in graph.nodes.items() if on_host(node)}  # type: ignore[misc]
    edges = tuple(edge for edge in graph.edges if on_host(graph.nodes[edge.target]))
    steps, samples = sent[read[0]].shape[:2]
    given = {name: sent[name].astype(np.float64) for name in read}
    done = execute(Graph(nodes, edges), given, steps, _Float64(samples))
    return {name: done[name] for name, node in nodes.items() if isinstance(node, Output)}


@dataclass(frozen=True, slots=True)
class _Float64:
    """Arrays [T, B, *shape]."""

    samples: int

    def advance(self, name: str, node: Layer, ports: tuple[Array, ...]) -> Array:
        merged = layers.apply(node, ports[0].reshape(-1, *ports[0].shape[2:]))
        return merged.reshape(*ports[0].shape[:2], *node.output_shape)

    def add(self, a: Array, b: Array) -> Array:
        return a + b

    def silence(self, shape: Shape, steps: int) -> Array:
        return np.zeros((steps, self.samples, *shape))

    def part(self, x: Array, start: int, stop: int) -> Array:
        return x[start:stop]

    def join(self, pieces: list[Array]) -> Array:
        return np.concatenate(pieces)
