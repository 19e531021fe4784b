"""What a run gives, from the recordings and counters of its threads."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import codegen
from norse_export.engine.activity import Activity, Counters, total
from norse_export.engine.circuit import Task
from norse_export.engine.connections import read_by_host
from norse_export.engine.host import host_outputs
from norse_export.ir.fixed import Population
from norse_export.ir.run import Run

Array = NDArray[Any]


def run_of(task: Task, rasters: Mapping[str, Array]) -> Run:
    """The recordings in the shapes of the graph and the units of the model."""
    graph, kept = task.graph, task.recordings

    def shaped(name: str, array: Array) -> Array:
        return array.reshape(*array.shape[:2], *graph.nodes[name].output_shape)

    def each(recorded: Mapping[str, Mapping[str, Array]]) -> dict[str, dict[str, Array]]:
        return {name: {key: shaped(name, array) for key, array in held.items()} for name, held in recorded.items()}

    spikes = {name: shaped(name, _flags(array)) for name, array in kept.spikes.items()}
    sent: dict[str, Array] = {}
    for name in read_by_host(graph):
        node = graph.nodes[name]
        recorded = shaped(name, kept.sent[name]) if name in kept.sent else None
        if recorded is None:
            sent[name] = spikes[name] if name in spikes else rasters[name]
        elif isinstance(node, Population) and not node.spikes:
            sent[name] = recorded * node.unit.get("v", np.float64(1)).astype(np.float64)
        else:
            sent[name] = recorded
    final = {name: {key: array[0] for key, array in held.items()} for name, held in each(kept.final_state).items()}
    return Run(spikes, host_outputs(graph, sent), "engine (compiled kernels)", each(kept.observables), final)


def _flags(array: Array) -> Array:
    return array.view(bool) if array.dtype == np.uint8 else array


def activity_of(task: Task, counters: list[Counters]) -> Activity:
    """The counts of all threads."""
    changed = total(counters, "overflows")
    overflows = {
        name: dict(zip(codegen.narrowing(task.populations[name].node.program), map(int, array), strict=True))
        for name, array in changed.items()
    }
    saturated = {}
    for key, array in total(counters, "saturated").items():
        population, _, port = key.partition("\0")
        saturated[population, port] = int(array[0])
    steps = task.steps * task.samples
    return Activity(
        {name: int(array[0]) for name, array in total(counters, "operations").items()},
        {name: steps * prod(packed.node.shape) for name, packed in task.populations.items()},
        total(counters, "sent"),
        overflows,
        saturated,
    )
