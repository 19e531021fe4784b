"""The interpreter proper: each neuron step is the family's own function, called on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Layer, Output
from norse_export.ir.rasters import checked_inputs, model_dtype
from norse_export.ir.run import Run
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.ir.walk import execute

Array = NDArray[Any]


def interpret(
    graph: Graph[DiscreteNode], inputs: Mapping[str, Array], *, dtype: str | None = None, states: bool = False
) -> Run:
    """Run a discrete graph on rasters and give spikes, outputs and final states.

    Populations stand by depth: each behind all that it depends on within a step. Values that grow beyond the float
    type become infinite or NaN, as they do in the framework.

    inputs: for each input node a raster [T, B, *shape] of any real dtype. dtype: "float32" or "float64", the type of
    all arithmetic; None takes the model's own. states: also record every state variable at every step, as observables.

    Raises:
        UsageError: an input is missing, unknown, or of the wrong shape.
    """
    dtype = dtype or model_dtype(graph)
    rasters = checked_inputs(graph, inputs)
    steps, samples = next(iter(rasters.values())).shape[:2]
    arithmetic = _Plain(np.dtype(dtype), samples, record=states)
    signals = {name: raster.astype(dtype, copy=False) for name, raster in rasters.items()}
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        sent = execute(graph, signals, steps, arithmetic)
    neurons = {name: node for name in graph.order if isinstance(node := graph.nodes[name], Neuron)}
    return Run(
        spikes={name: sent[name] != 0 for name, node in neurons.items() if node.spikes},
        outputs={name: sent[name] for name, node in graph.nodes.items() if isinstance(node, Output)},
        ran_by=f"interpreter ({dtype})",
        observables={
            name: {variable: np.stack(values) for variable, values in recorded.items()}
            for name, recorded in arithmetic.recorded.items()
        },
        final_state={
            name: dict(zip(node.family.state, arithmetic.state.get(name, ()), strict=False))
            for name, node in neurons.items()
        },
    )


@dataclass(slots=True)
class _Plain:
    """Arrays [T, B, *shape] of one float type."""

    dtype: np.dtype[Any]
    samples: int
    record: bool
    state: dict[str, tuple[Array, ...]] = field(default_factory=dict)
    recorded: dict[str, dict[str, list[Array]]] = field(default_factory=dict)

    def advance(self, name: str, node: DiscreteNode, ports: tuple[Array, ...]) -> Array:
        return self.population(name, node, ports) if isinstance(node, Neuron) else self.layer(node, ports)

    def layer(self, node: Layer, ports: tuple[Array, ...]) -> Array:
        merged = layers.apply(node, *(x.reshape(-1, *x.shape[2:]) for x in ports))
        return merged.reshape(*ports[0].shape[:2], *node.output_shape)

    def population(self, name: str, node: Neuron, ports: tuple[Array, ...]) -> Array:
        parameters = {key: value.astype(self.dtype, copy=False) for key, value in node.parameters.items()}
        state = self.state.get(name) or tuple(
            np.broadcast_to(value.astype(self.dtype, copy=False), (self.samples, *node.shape))
            for value in node.initial_state.values()
        )
        sent = np.empty((ports[0].shape[0], self.samples, *node.shape), self.dtype)
        recorded: dict[str, list[Array]] = {variable: [] for variable in node.family.state}
        if self.record:
            recorded = self.recorded.setdefault(name, recorded)
        for t in range(sent.shape[0]):
            step = node.family.step(*(port[t] for port in ports), *state, **parameters)
            state = step.state
            sent[t] = step.spike if step.output is None else step.output
            if self.record:
                for variable, value in zip(node.family.state, state, strict=True):
                    recorded[variable].append(value)
        self.state[name] = state
        return sent

    def add(self, a: Array, b: Array) -> Array:
        return a + b

    def silence(self, shape: Shape, steps: int) -> Array:
        return np.zeros((steps, self.samples, *shape), self.dtype)

    def part(self, x: Array, start: int, stop: int) -> Array:
        return x[start:stop]

    def join(self, pieces: list[Array]) -> Array:
        return np.concatenate(pieces)
