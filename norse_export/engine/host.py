"""The host part of a fixed graph: the layers behind the last spikes, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.engine.connections import on_host
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]


def host_outputs(graph: Graph[FixedNode], sent: Mapping[str, Array]) -> dict[str, Array]:
    """What the graph's outputs send, float64 [T, B, *shape].

    sent: by name what the integer nodes that the host reads have sent, in the units of the model. There is no loop
    among layers of the host: see `check_connections`.
    """
    known = {name: values.astype(np.float64) for name, values in sent.items()}
    for name in graph.order:
        node = graph.nodes[name]
        if on_host(node):
            ports = [_arriving(graph, known, name, port) for port in node.ports]
            merged = layers.apply(node, *(x.reshape(-1, *x.shape[2:]) for x in ports))  # type: ignore[arg-type]  # on_host: a layer
            known[name] = merged.reshape(*ports[0].shape[:2], *node.output_shape)
    return {name: known[name] for name, node in graph.nodes.items() if isinstance(node, Output)}


def _arriving(graph: Graph[FixedNode], known: Mapping[str, Array], name: str, port: str) -> Array:
    first, *others = (_late(known[edge.source], edge.delay_steps) for edge in graph.incoming(name, port))
    for other in others:
        first = first + other
    return first


def _late(values: Array, steps: int) -> Array:
    if not steps:
        return values
    moved = np.zeros_like(values)
    moved[steps:] = values[:-steps]
    return moved
