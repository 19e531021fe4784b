"""The margin rule's run: float64, forced to take a reference's spikes, with a bound of each value's rounding error.

The reference and the run that is compared with it are both float runs of the same graph; each may be off from the
float64 run by at most the bound, which counts the rounding of both. A spike in which they differ is explained when the
float64 run is nearer to the threshold than that.

Weights, parameters and rasters enter rounded to the float type of the runs, and so are exact here. As the spikes are
given, what a population sends is known before it is reached: loops through spikes need no walk step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers, rounding
from norse_export.errors import UsageError
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Input, Layer, Output
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Bounded, Bounds
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.ir.walk import execute
from norse_export.program.affine import bounded_step
from norse_export.program.known_past import Known

Array = NDArray[Any]
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
_SLACK = 1 + 2.0**-20  # for the rounding of the bounds themselves


def interpret_bounded(
    graph: Graph[DiscreteNode],
    inputs: Mapping[str, Array],
    spikes: Mapping[str, Array],
    *,
    dtype: str,
    states: bool = False,
) -> Bounds:
    """Run the graph in float64 along the reference's spikes, bounding the error of a run in `dtype`.

    inputs: rasters [T, B, *shape]. spikes: the reference's raster of every spiking population. states: also bound every
    state variable after every step, as observables.

    Raises:
        UsageError: rasters that do not fit the graph, or a population without spikes of its shape.
    """
    rasters = checked_inputs(graph, inputs)
    steps, samples = next(iter(rasters.values())).shape[:2]
    neurons = {name: node for name, node in graph.nodes.items() if isinstance(node, Neuron)}
    for name, node in neurons.items():
        given = spikes[name].shape if name in spikes else None
        if node.spikes and given != (steps, samples, *node.shape):
            message = f"the reference gives {given} as spikes of a population {node.shape}"
            raise UsageError(message, where=name, fix="give the spikes of every population, [T, B, ...]")
    arithmetic = _Bounding(np.dtype(dtype), samples, spikes, states)
    exact = {name: _Signal(arithmetic.wide(raster), None) for name, raster in rasters.items()}
    exact |= {name: _Signal((spikes[name] != 0).astype(float), None) for name, node in neurons.items() if node.spikes}
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # what is not finite explains nothing
        sent = execute(_with_spikes_as_inputs(graph), exact, steps, arithmetic)
    return Bounds(
        margins={
            name: Bounded(np.concatenate(arithmetic.margins[name]), np.concatenate(arithmetic.margin_errors[name]))
            for name, node in neurons.items()
            if node.spikes
        },
        outputs={
            name: Bounded(sent[name].value, _or_zero(sent[name]))
            for name, node in graph.nodes.items()
            if isinstance(node, Output)
        },
        final_state={name: arithmetic.final_state(name, node) for name, node in neurons.items()},
        exact=frozenset(neurons) - arithmetic.inexact,
        observables={name: arithmetic.observed(name, node) for name, node in neurons.items()} if states else {},
    )


_STEPS = "\0steps"  # behind the name of a population: the node that steps it, and sends nothing


def _with_spikes_as_inputs(graph: Graph[DiscreteNode]) -> Graph[DiscreteNode]:
    """Give the graph with each spiking population in two: an input that sends its spikes, a node that is only fed."""
    spiking = {name: node for name, node in graph.nodes.items() if isinstance(node, Neuron) and node.spikes}
    inputs = {name: Input(node.shape) for name, node in spiking.items()}
    stepped = {name + _STEPS: node for name, node in spiking.items()}
    edges = (replace(edge, target=edge.target + _STEPS) if edge.target in spiking else edge for edge in graph.edges)
    return Graph({**graph.nodes, **inputs, **stepped}, tuple(edges))


@dataclass(frozen=True, slots=True)
class _Signal:
    value: Array
    error: Array | None  # None: exact

    def at(self, t: int) -> tuple[Array, Array | float]:
        """Value and bound at one step."""
        return self.value[t], 0.0 if self.error is None else self.error[t]


def _or_zero(signal: _Signal) -> Array:
    return np.zeros_like(signal.value) if signal.error is None else signal.error


@dataclass(slots=True)
class _Bounding:
    """Signals with error bounds; spikes are the reference's, and exact."""

    dtype: np.dtype[Any]
    samples: int
    spikes: Mapping[str, Array]
    record: bool
    state: dict[str, tuple[Array, ...]] = field(default_factory=dict)
    state_error: dict[str, tuple[Array | float, ...]] = field(default_factory=dict)
    past: dict[str, Mapping[str, Known]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    inexact: set[str] = field(default_factory=set)  # populations that were sent something that may be rounded
    recorded: dict[str, list[tuple[tuple[Array, ...], tuple[Array | float, ...]]]] = field(default_factory=dict)
    margins: dict[str, list[Array]] = field(default_factory=dict)
    margin_errors: dict[str, list[Array]] = field(default_factory=dict)
    u: float = field(init=False)
    tiny: float = field(init=False)

    def __post_init__(self) -> None:
        self.u = (UNIT_ROUNDOFF[self.dtype.name] + UNIT_ROUNDOFF["float64"]) * _SLACK
        self.tiny = float(np.finfo(self.dtype).smallest_normal)

    def wide(self, values: Array) -> Array:
        """The values as the runs have them, in float64."""
        return values.astype(self.dtype, copy=False).astype(np.float64)

    def advance(self, name: str, node: DiscreteNode, ports: tuple[_Signal, ...]) -> _Signal:
        return self.population(name, node, ports) if isinstance(node, Neuron) else self.layer(node, ports)

    def layer(self, node: Layer, ports: tuple[_Signal, ...]) -> _Signal:
        def merged(values: Array) -> Array:
            return values.reshape(-1, *values.shape[2:])

        x, node = ports[0], layers.rounded(node, self.dtype.name)
        if isinstance(node, Elementwise):
            return _Signal(*rounding.elementwise(node, [(p.value, p.error) for p in ports], self.u, self.tiny))
        shape = (*x.value.shape[:2], *node.output_shape)
        error = rounding.bound(node, merged(x.value), None if x.error is None else merged(x.error), self.u, self.tiny)
        value = layers.apply(node, merged(x.value)).reshape(shape)
        return _Signal(value, None if error is None else error.reshape(shape))

    def population(self, name: str, node: Neuron, ports: tuple[_Signal, ...]) -> _Signal:
        name, family, program = name.removesuffix(_STEPS), node.family, node.family.trace()
        parameters = {key: self.wide(value) for key, value in node.parameters.items()}
        initial = tuple(
            np.broadcast_to(self.wide(value), (self.samples, *node.shape)) for value in node.initial_state.values()
        )
        state = self.state.get(name, initial)
        error = self.state_error.get(name, (0.0,) * len(state))
        start = self.taken.get(name, 0)
        if any(x.error is not None for x in ports):
            self.inexact.add(name)
        steps = ports[0].value.shape[0]
        sent, sent_error = np.empty((2, 0 if node.spikes else steps, self.samples, *node.shape))
        for t in range(steps):
            fired = self.spikes[name][start + t] != 0 if node.spikes else None
            step = bounded_step(
                program,
                {key: x.at(t) for key, x in zip(family.ports, ports, strict=True)},
                dict(zip(family.state, zip(state, error, strict=True), strict=True)),
                parameters,
                fired,
                self.u,
                self.tiny,
                self.past.get(name),
            )
            state, error, self.past[name] = step.state, step.state_error, step.past
            if self.record:
                self.recorded.setdefault(name, []).append((state, error))
            if not node.spikes:
                sent[t], sent_error[t] = step.output, step.output_error
            if step.margin is not None and step.margin_error is not None:
                self.margins.setdefault(name, []).append(step.margin[np.newaxis])
                self.margin_errors.setdefault(name, []).append(step.margin_error[np.newaxis])
        self.state[name], self.state_error[name], self.taken[name] = state, error, start + steps
        return _Signal(sent, sent_error)

    def observed(self, name: str, node: Neuron) -> dict[str, Bounded]:
        """State variables after every step."""
        values, errors = zip(*self.recorded[name], strict=True)
        return {
            variable: Bounded(
                np.stack([value[k] for value in values]),
                np.stack([np.broadcast_to(e[k], value[k].shape) for e, value in zip(errors, values, strict=True)]),
            )
            for k, variable in enumerate(node.family.state)
        }

    def final_state(self, name: str, node: Neuron) -> dict[str, Bounded]:
        """State variables after the last step."""
        pairs = zip(self.state[name], self.state_error[name], strict=True)
        return {
            variable: Bounded(value, np.broadcast_to(error, value.shape))
            for variable, (value, error) in zip(node.family.state, pairs, strict=True)
        }

    def add(self, a: _Signal, b: _Signal) -> _Signal:
        value, error = a.value + b.value, _or_zero(a) + _or_zero(b)
        if a.error is None and b.error is None and rounding.exact_sum(a.value, b.value, self.u, self.tiny):
            return _Signal(value, None)
        return _Signal(value, error + self.u * (np.abs(value) + error) + self.tiny)

    def silence(self, shape: Shape, steps: int) -> _Signal:
        return _Signal(np.zeros((steps, self.samples, *shape)), None)

    def part(self, x: _Signal, start: int, stop: int) -> _Signal:
        return _Signal(x.value[start:stop], None if x.error is None else x.error[start:stop])

    def join(self, pieces: list[_Signal]) -> _Signal:
        error = None if all(piece.error is None for piece in pieces) else np.concatenate([*map(_or_zero, pieces)])
        return _Signal(np.concatenate([piece.value for piece in pieces]), error)
