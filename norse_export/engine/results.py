"""What a run gives, from its recordings and counters."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import codegen
from norse_export.engine.activity import Activity
from norse_export.engine.calls import Symbol
from norse_export.engine.circuit import Nodes
from norse_export.engine.connections import read_by_host
from norse_export.engine.host import host_outputs
from norse_export.ir.fixed import Population
from norse_export.ir.run import Run

Array = NDArray[Any]


def run_of(nodes: Nodes, arrays: Mapping[Symbol, Array], rasters: Mapping[str, Array]) -> Run:
    """The recordings in the shapes of the graph and the units of the model."""
    graph = nodes.graph
    spikes: dict[str, Array] = {}
    sent: dict[str, Array] = {}
    observed: dict[str, dict[str, Array]] = {}
    final: dict[str, dict[str, Array]] = {name: {} for name in nodes.populations}
    for (kind, name, *key), array in arrays.items():
        shaped = array.reshape(*array.shape[:2], *graph.nodes[name].output_shape)
        match kind:
            case "spikes":
                spikes[name] = shaped.view(bool) if shaped.dtype == np.uint8 else shaped
            case "sent":
                sent[name] = shaped * _unit(graph.nodes[name])
            case "observed":
                observed.setdefault(name, {})[key[0]] = shaped
            case "final":
                final[name][key[0]] = shaped[0]
    for name in read_by_host(graph):
        if name not in sent:
            sent[name] = spikes[name] if name in spikes else rasters[name]
    return Run(spikes, host_outputs(graph, sent), "engine (compiled kernels)", observed, final)


def _unit(node: Any) -> Any:
    """What a 1 that a node sends stands for: values of what does not spike are in the units of the model."""
    if isinstance(node, Population) and not node.spikes:
        return node.unit.get("v", np.float64(1)).astype(np.float64)
    return 1


def activity_of(
    nodes: Nodes, counters: Mapping[Symbol, range], counted: NDArray[np.int64], steps: int, samples: int
) -> Activity:
    """The counts by name."""
    found: dict[str, dict[Any, NDArray[np.int64]]] = {"operations": {}, "sent": {}, "overflows": {}, "saturated": {}}
    for (kind, *names), where in counters.items():
        found[kind][tuple(names) if len(names) > 1 else names[0]] = counted[where.start : where.stop]
    narrowing = {name: codegen.narrowing(nodes.populations[name].node.program) for name in found["overflows"]}
    return Activity(
        {name: int(each[0]) for name, each in found["operations"].items()},
        {name: steps * samples * prod(packed.node.shape) for name, packed in nodes.populations.items()},
        found["sent"],
        {name: dict(zip(narrowing[name], map(int, each), strict=True)) for name, each in found["overflows"].items()},
        {key: int(each[0]) for key, each in found["saturated"].items()},
    )
