"""The emulator: runs a fixed graph on arrays, each neuron step by its program called on arrays of int64.

It shares neither kernels nor order with the engine: whole rasters go through what is feed-forward, and sums of weights
are matrix products. Where the sums stay below 2^53 these are computed in float64, which is then exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import UnsupportedError
from norse_export.ir.bounds import port_intervals
from norse_export.ir.fixed import (
    ConvSynapses,
    Delivery,
    DenseSynapses,
    FixedInput,
    Population,
    SparseSynapses,
    Synapses,
)
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Conv, Layer, Output
from norse_export.ir.rasters import checked_inputs
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.ir.walk import execute
from norse_export.program.evaluate import evaluate
from norse_export.program.operations import FLOOR, shift_left, shift_right, wrap
from norse_export.program.philox import random_words

Array = NDArray[Any]
_CHUNK = 1 << 23  # numbers held at a time beside the rasters


def emulate(
    graph: Graph[FixedNode], inputs: Mapping[str, Array], *, states: bool = False, first_sample: int = 0
) -> Run:
    """Run a fixed graph on rasters [T, B, *shape] of whole numbers and give spikes, outputs and final states.

    Outputs are float64: what a non-spiking population sends, in the model's units, spikes as numbers, raw sums of
    synapses, or what the layers behind these make of them. Final states, and observables where `states` asks for them
    (every state after every step, and what the program observes), are raw int64. first_sample: the number of the first
    sample, for its random numbers.

    Raises:
        UsageError: an input is missing, unknown, of the wrong shape or beyond its range.
        UnsupportedError: a sum of weights could leave 63 bits.
        GraphError: a port saturates, and sums at it can be negative.
    """
    rasters = checked_inputs(graph, inputs)
    if any(isinstance(node, Population) and node.saturated for node in graph.nodes.values()):
        port_intervals(graph)  # which refuses what no order of the sums may change
    steps, samples = next(iter(rasters.values())).shape[:2]
    arithmetic = _Integers(samples, first_sample, record=states)
    sent = execute(graph, rasters, steps, arithmetic)
    populations = {name: node for name in graph.order if isinstance(node := graph.nodes[name], Population)}
    return Run(
        spikes={name: np.concatenate(arithmetic.spikes[name]) for name, node in populations.items() if node.spikes},
        outputs={name: sent[name].astype(np.float64) for name, node in graph.nodes.items() if isinstance(node, Output)},
        ran_by="emulation (program on arrays)",
        observables={
            name: {observed: np.stack(values) for observed, values in recorded.items()}
            for name, recorded in arithmetic.recorded.items()
        },
        final_state={name: arithmetic.state[name] for name in populations},
    )


@dataclass(slots=True)
class _Integers:
    """Arrays [T, B, *shape]: bool and integers between inputs, synapses and populations, float64 behind these."""

    samples: int
    first_sample: int
    record: bool
    state: dict[str, dict[str, Array]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    spikes: dict[str, list[Array]] = field(default_factory=dict)
    recorded: dict[str, dict[str, list[Array]]] = field(default_factory=dict)

    def advance(self, name: str, node: FixedNode, ports: tuple[Array, ...]) -> Array:
        match node:
            case Population():
                return self.population(name, node, ports)
            case DenseSynapses() | ConvSynapses() | SparseSynapses():
                return delivered(node.delivery, summed(name, node, ports[0]))
            case FixedInput():
                return ports[0]
            case _:
                return self.layer(node, ports)

    def layer(self, node: Layer, ports: tuple[Array, ...]) -> Array:
        merged = layers.apply(node, *(x.reshape(-1, *x.shape[2:]).astype(np.float64) for x in ports))
        return merged.reshape(*ports[0].shape[:2], *node.output_shape)

    def population(self, name: str, node: Population, ports: tuple[Array, ...]) -> Array:
        """What the population sends: spikes, or the output of one that does not spike, in the model's units."""
        program, start = node.program, self.taken.get(name, 0)
        state = self.state.get(name) or {key: self._each(node, value) for key, value in node.initial_state.items()}
        given = [
            np.minimum(port, node.saturated[key]) if key in node.saturated else port
            for key, port in zip(program.ports, ports, strict=True)
        ]
        sent, fired = [], self.spikes.setdefault(name, [])
        for t in range(ports[0].shape[0]):
            arriving = {key: port[t] for key, port in zip(program.ports, given, strict=True)}
            values = {**node.parameters, **state, **arriving, **self._random(node, start + t)}
            done = evaluate(program, values, start + t)
            state = {key: self._each(node, value) for key, value in zip(program.variables, done.state, strict=True)}
            sent.append(self._each(node, done.output))
            if done.spike is not None:
                spike = self._each(node, done.spike)
                fired.append((spike if spike.dtype == bool else spike.astype(np.int32))[np.newaxis])
            if self.record:
                for key, value in (state | {key: self._each(node, v) for key, v in done.observe.items()}).items():
                    self.recorded.setdefault(name, {}).setdefault(key, []).append(value)
        self.state[name], self.taken[name] = state, start + ports[0].shape[0]
        return np.stack(sent) if node.spikes else np.stack(sent) * node.unit.get("v", np.float64(1)).astype(np.float64)

    def _each(self, node: Population, value: Any) -> Array:
        """A value of the step for each sample and neuron."""
        return np.broadcast_to(value, (self.samples, *node.shape))

    def _random(self, node: Population, step: int) -> dict[str, Array]:
        sample = np.arange(self.first_sample, self.first_sample + self.samples).reshape(-1, *(1,) * len(node.shape))
        neuron = np.arange(prod(node.shape)).reshape(node.shape)
        return {
            name: random_words(node.seed, node=node.key, stream=number, sample=sample, neuron=neuron, step=step)
            for number, name in enumerate(node.program.random)
        }

    def add(self, a: Array, b: Array) -> Array:
        return _wide(a) + _wide(b)

    def silence(self, shape: Shape, steps: int) -> Array:
        return np.zeros((steps, self.samples, *shape), np.int8)

    def part(self, x: Array, start: int, stop: int) -> Array:
        return x[start:stop]

    def join(self, pieces: list[Array]) -> Array:
        return np.concatenate(pieces)


def _wide(x: Array) -> Array:
    return x if x.dtype.kind == "f" else x.astype(np.int64, copy=False)


def delivered(delivery: Delivery, total: Array) -> Array:
    """What reaches the port for the sum of a projection's weights."""
    if delivery.wrap_bits is not None:
        total = wrap(total, delivery.wrap_bits)
    if delivery.shift < 0:
        return np.asarray(shift_right(total, -delivery.shift, FLOOR))
    return np.asarray(shift_left(total, delivery.shift))


def summed(name: str, node: Synapses, x: Array) -> Array:
    """Sums of weight times what their sources sent, int64 [T, B, *output_shape], for x [T, B, *input_shape].

    Raises:
        UnsupportedError: a sum could leave 63 bits, after the shift too.
    """
    rows = x.reshape(-1, prod(node.input_shape))
    largest = max(abs(int(rows.min())), abs(int(rows.max())))
    bound = largest * _largest_magnitude(node)
    if bound << max(node.delivery.shift, 0) >= 2**63:
        message = f"sums of up to {bound} times 2^{node.delivery.shift} leave 64 bits"
        raise UnsupportedError(message, where=name, fix="use narrower weights or a smaller shift")
    dtype = np.float64 if bound < 2**53 else np.int64
    total = np.empty((len(rows), prod(node.output_shape)), np.int64)
    for part in _stretches(len(rows), rows.shape[1] + total.shape[1]):
        total[part] = _rows(node, rows[part].astype(dtype))
    return total.reshape(*x.shape[:2], *node.output_shape)


def _largest_magnitude(node: Synapses) -> int:
    """The largest sum of |w| at one cell that is sent to, or a bound of it."""
    size = np.abs(node.weight.astype(np.int64))
    match node:
        case DenseSynapses():
            return int(size.sum(axis=1).max(initial=0))
        case ConvSynapses():
            return int(size.sum(axis=(1, 2, 3)).max(initial=0))
        case SparseSynapses():
            total = np.zeros(prod(node.output_shape), np.int64)
            np.add.at(total, node.targets, size)
            return int(total.max())


def _stretches(rows: int, width: int) -> Iterator[slice]:
    """Stretches of rows whose numbers fit in _CHUNK; at least one row each."""
    together = max(1, _CHUNK // width)
    return (slice(start, start + together) for start in range(0, rows, together))


def _rows(node: Synapses, x: Array) -> Array:
    """The sums [M, N_out] for x [M, N_in], in the dtype of x, which holds them exactly."""
    weight = node.weight.astype(x.dtype)
    match node:
        case DenseSynapses():
            return np.asarray(x @ weight.T)
        case ConvSynapses():
            like = Conv(
                np.zeros(weight.shape),
                node.input_shape[1:],
                None,
                node.stride,
                node.padding,
                node.dilation,
                node.groups,
            )
            return layers.correlate(like, x.reshape(-1, *node.input_shape), weight).reshape(len(x), -1)
        case SparseSynapses():
            return np.stack([_listed(node, row, weight) for row in x])


def _listed(node: SparseSynapses, x: Array, weight: Array) -> Array:
    """The sums [N_out] of one step of one sample, over the synapses of the sources that sent something."""
    sources = np.flatnonzero(x)
    first, count = node.starts[sources], node.starts[sources + 1] - node.starts[sources]
    number = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    total = np.zeros(prod(node.output_shape), x.dtype)
    np.add.at(total, node.targets[number], weight[number] * np.repeat(x[sources], count))
    return total
