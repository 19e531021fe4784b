"""Nodes of the fixed graph: integers, and laws as data.

Spikes leave a population at step t and arrive at t + delay_steps of the edge; `Synapses` turn them into sums of
weights, which arrive at a port of a population in the same step. What arrives at a port is summed over all its edges;
integers have no order of summation. A projection whose synapses have several delays is several nodes, one for each.

Shapes are those of one sample of one step, without time and batch. Weights are the *effective* ones, after the law's
weight rule; parameters and states are whole numbers, and `unit` says what a 1 stands for in the trained model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, compact, per_neuron, spread
from norse_export.ir.graph import Shape
from norse_export.ir.shapes import KeepsShape, OnePort, check_dt, check_shape, window_shape
from norse_export.program.philox import MAX_STREAMS
from norse_export.program.program import Program

IntArray = NDArray[np.integer[Any]]
WEIGHT_TYPES = ("int8", "int16", "int32")
MAX_INPUT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FixedInput(KeepsShape):
    """Where a raster of whole numbers in [low, high] enters: 0 and 1 for spikes, more for graded ones."""

    shape: Shape
    low: int = 0
    high: int = 1
    ports: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_shape(self.shape, "FixedInput")
        if not -MAX_INPUT <= self.low <= 0 <= self.high <= MAX_INPUT:
            raise GraphError(
                f"an input of {self.low} to {self.high}", where="FixedInput", fix="give a range of 32 bits around 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What becomes of the sum of a projection's weights before it reaches the port.

    wrap_bits: the sum is wrapped to that many bits, two's complement; None: it is exact. shift: then it is multiplied
    by 2^shift, or, where negative, divided by 2^-shift, floor.
    """

    wrap_bits: int | None = None
    shift: int = 0

    def __post_init__(self) -> None:
        if self.wrap_bits is not None and not 1 <= self.wrap_bits <= 32:
            raise GraphError(f"a sum of {self.wrap_bits} bits", where="Delivery", fix="use 1 to 32 bits")
        if not -31 <= self.shift <= 31:
            raise GraphError(f"a shift by {self.shift}", where="Delivery", fix="use -31 to 31")


@dataclass(frozen=True, slots=True, eq=False)
class DenseSynapses(OnePort):
    """All to all: weight [N_out, N_in], int8, int16 or int32; the shapes have these numbers of cells, in C order."""

    weight: IntArray
    input_shape: Shape
    output_shape: Shape
    delivery: Delivery = field(default_factory=Delivery)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights(self, "DenseSynapses"))
        if self.weight.shape != (math.prod(self.output_shape), math.prod(self.input_shape)):
            raise _mismatch("DenseSynapses", self.weight.shape, self.input_shape, self.output_shape)


@dataclass(frozen=True, slots=True, eq=False)
class ConvSynapses(OnePort):
    """Cross-correlation over two spatial axes with zero padding, as ir.layers.Conv.

    weight [C_out, C_in / groups, kH, kW]; input [C_in, H, W]; output_shape has the cells of [C_out, H_out, W_out], in
    C order.
    """

    weight: IntArray
    input_shape: Shape
    output_shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    delivery: Delivery = field(default_factory=Delivery)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights(self, "ConvSynapses"))
        wrong = self.weight.ndim != 4 or len(self.input_shape) != 3 or self.groups < 1 or self.weight.size == 0
        wrong = wrong or {len(self.stride), len(self.padding), len(self.dilation)} != {2}
        wrong = wrong or min(*self.stride, *self.dilation) < 1 or min(self.padding) < 0
        if wrong or self.weight.shape[0] % self.groups or self.weight.shape[1] * self.groups != self.input_shape[0]:
            raise _mismatch("ConvSynapses", self.weight.shape, self.input_shape, self.output_shape)
        if min(self.map_shape) < 1 or math.prod(self.map_shape) != math.prod(self.output_shape):
            raise _mismatch("ConvSynapses", self.weight.shape, self.input_shape, self.output_shape)

    @property
    def map_shape(self) -> Shape:
        """(C_out, H_out, W_out)."""
        size, kernel = self.input_shape[1:], self.weight.shape[2:]
        return (self.weight.shape[0], *window_shape(size, kernel, self.stride, self.padding, self.dilation))


@dataclass(frozen=True, slots=True, eq=False)
class SparseSynapses(OnePort):
    """Listed synapses, ordered by source: those of source j are starts[j] to starts[j + 1].

    starts [N_in + 1], targets [S] (within a source in any order; a pair may stand more than once), weight [S].
    """

    starts: IntArray
    targets: IntArray
    weight: IntArray
    input_shape: Shape
    output_shape: Shape
    delivery: Delivery = field(default_factory=Delivery)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights(self, "SparseSynapses"))
        starts, targets = _indices(self.starts, "starts"), _indices(self.targets, "targets")
        n_in, n_out = math.prod(self.input_shape), math.prod(self.output_shape)
        good = starts.shape == (n_in + 1,) and targets.shape == self.weight.shape == (self.weight.size,)
        good = good and starts[0] == 0 and starts[-1] == targets.size and bool(np.all(np.diff(starts) >= 0))
        if not good or (targets.size and not 0 <= targets.min() <= targets.max() < n_out):
            raise _mismatch("SparseSynapses", self.weight.shape, self.input_shape, self.output_shape)
        for name, array in (("starts", starts.astype(np.int64)), ("targets", targets.astype(np.int32))):
            array.flags.writeable = False
            object.__setattr__(self, name, array)


Synapses = DenseSynapses | ConvSynapses | SparseSynapses


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Population(KeepsShape):
    """Neurons of one law: one integer program a step.

    parameters and initial_state: whole numbers (int64), one for each neuron, [*shape]. saturated: of a port in which
    sums saturate, the largest sum; weights into it are >= 0 and the sum over everything that arrives in a step is
    min(sum, largest); cells where it was larger are counted. seed, key: of its random numbers (philox.py: seed, node).
    unit: for each state variable, and for "spike" where spikes are graded, what a 1 stands for in the trained model,
    [*shape]; may be empty. dt in seconds.
    """

    program: Program
    shape: Shape
    parameters: Mapping[str, IntArray]
    initial_state: Mapping[str, IntArray]
    dt: float
    saturated: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    key: int = 0
    unit: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_dt(self.dt, "Population")
        check_shape(self.shape, "Population")
        program = self.program
        for name, wanted in (("parameters", program.parameters), ("initial_state", program.variables)):
            values = getattr(self, name)
            if set(values) != set(wanted):
                message = f"the program has {name} {wanted}, got {tuple(values)}"
                raise GraphError(message, where="Population", fix="give every one of them")
            arrays = {n: _whole(values[n], self.shape, n) for n in wanted}
            object.__setattr__(self, name, MappingProxyType(arrays))
        if not set(self.saturated) <= set(program.ports) or any(top < 1 for top in self.saturated.values()):
            raise GraphError(f"saturated {dict(self.saturated)}", where="Population", fix="name ports and largest sums")
        object.__setattr__(self, "saturated", MappingProxyType(dict(self.saturated)))
        if not (0 <= self.seed < 2**64 and 0 <= self.key < 2**24 and len(program.random) <= MAX_STREAMS):
            raise GraphError(f"seed {self.seed}, key {self.key}", where="Population", fix="use 64 and 24 bits")
        units = {n: per_neuron(v, self.shape, where="Population", field=n) for n, v in self.unit.items()}
        object.__setattr__(self, "unit", MappingProxyType(units))

    @property
    def ports(self) -> tuple[str, ...]:
        """The program's ports."""
        return self.program.ports

    @property
    def spikes(self) -> bool:
        """Whether the population spikes."""
        return self.program.spike is not None


def _whole(value: Any, shape: Shape, name: str) -> IntArray:
    """Integers as int64, spread over the shape; a constant stays one number in memory."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{name} has dtype {array.dtype}", where="Population", fix="the fixed graph has integers only")
    few: Any = compact(array)
    if array.dtype.kind == "u" and few.size and int(few.max()) >= 2**63:
        raise GraphError(f"{name} holds {few.max()}", where="Population", fix="give numbers that 64 bits hold")
    small: Any = few.astype(np.int64)
    return spread(np.broadcast_to(small, array.shape), shape, where="Population", field=name)  # type: ignore[return-value]


def _weights(node: Synapses, where: str) -> IntArray:
    """The weights, read-only, of a type that the fixed graph has; the shapes are looked at too."""
    for shape in (node.input_shape, node.output_shape):
        check_shape(shape, where)
    array = np.asarray(node.weight)
    if array.dtype not in WEIGHT_TYPES:
        raise GraphError(f"weights have dtype {array.dtype}", where=where, fix=f"use {', '.join(WEIGHT_TYPES)}")
    view: IntArray = array.view()
    view.flags.writeable = False
    return view


def _indices(value: Any, name: str) -> IntArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise GraphError(f"{name} have dtype {array.dtype}", where="SparseSynapses", fix="give whole numbers")
    return array


def _mismatch(where: str, weight: Shape, taken: Shape, sent: Shape) -> GraphError:
    message = f"shape mismatch: weights {weight} do not lead from {taken} to {sent}"
    return GraphError(message, where=where, fix="give weights and shapes that belong together", kind="shape")
