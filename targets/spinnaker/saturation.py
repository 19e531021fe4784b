"""Cells of ring buffers that a run filled: sums of weights beyond 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.interpret.fixed import summed
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

from .law import PORTS, RING_MAX

Array = NDArray[Any]


def saturated_cells(graph: Graph[FixedNode], sent: Mapping[str, Array]) -> dict[str, tuple[int, int]]:
    """Of each population how many cells (step, sample, neuron) were full, exc and inh.

    sent: what every input and population of the graph sent, [T, B, *shape].
    """
    found = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Population):
            exc, inh = (_full(graph, name, port, sent) for port in PORTS)
            found[name] = (exc, inh)
    return found


def _full(graph: Graph[FixedNode], name: str, port: str, sent: Mapping[str, Array]) -> int:
    total: Any = np.zeros(1, np.int64)
    for edge in graph.incoming(name, port):
        synapses: Any = graph.nodes[edge.source]
        (into,) = graph.incoming(edge.source)
        if not synapses.weight.size:
            continue
        arriving = summed(edge.source, synapses, sent[into.source].astype(np.int8))
        late = np.zeros_like(arriving)
        late[into.delay_steps :] = arriving[: max(len(arriving) - into.delay_steps, 0)]
        total = total + late
    return int(np.count_nonzero(total > RING_MAX))
