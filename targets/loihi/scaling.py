"""The scale of one layer: what an integer weight of 1 stands for, chosen by spikes on calibration inputs.

All weights onto a population share one scale, since the chip adds them up before anything else. The search tries scales
below the one with which the largest weight just fits (weights are then clipped), never so small that threshold or bias
leave their registers, or that states seen on the calibration inputs come within STATE_MARGIN of the ends of 24 bits.
A readout has to be proved: whatever spikes arrive, its membrane stays below the highest threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.ir.bounds import population_ranges, synapse_sums
from norse_export.ir.fixed import WEIGHT_TYPES, ConvSynapses, DenseSynapses, Population, Synapses
from norse_export.ir.graph import Shape
from norse_export.ir.stages import Neuron
from norse_export.passes.agreement import cells, rank, surely_nearer
from norse_export.passes.calibrate import Link, response, search, smaller
from norse_export.passes.integers import Observed
from norse_export.passes.linear import ConvWeights, Weights
from norse_export.passes.lowered import Projection
from norse_export.passes.scales import WeightPrice, price
from norse_export.program.operations import Op

from . import law
from .law import IntArray
from .limits import THRESHOLD_MAX
from .precision import Part, Precision, first_of, fitting_scale, in_all, parts_of
from .registers import UNIT, Registers
from .weights import settled, settled_together, with_values

Array = NDArray[Any]
Floats = NDArray[np.float64]
LEAST_FACTOR = 0.3  # of the scale with which no weight is clipped
STATE_MARGIN = 2  # between what was seen of a state and what it can hold
POINTS_WORK, MAX_POINTS = 1 << 18, 16  # of the scales whose weight error is looked at
PROOF_TRIES, COARSER = 60, 1.05  # how often a readout is made coarser until its proof holds, and by what factor
_PRICED_BITS = 9  # a magnitude of 8 bits and the sign
_HIGHEST = THRESHOLD_MAX << law.ALIGN_BITS


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A layer before its scale is chosen. projections: as the chip will have them, gains folded in.

    late: by how many steps what reaches it is late on the chip. active: of projections, by name; see `parts_of`.
    """

    name: str
    node: Neuron
    registers: Registers
    projections: tuple[Projection, ...]
    sources: Mapping[str, Shape]
    precision: Precision
    late: int
    active: Mapping[str, float] = field(default_factory=dict)

    @property
    def readout(self) -> bool:
        """Whether the host reads its membrane."""
        return self.registers.v_th is None


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A layer in whole numbers; scale: what an integer weight of 1 stands for.

    links: of each projection, by its name, one for each array, without the chip's delay. effective: its weights, in
    scales. population: as it starts where the model does; started: where the chip does. least: the smallest scale that
    may be.
    """

    population: Population
    started: Population
    links: Mapping[str, tuple[Link, ...]]
    effective: Mapping[str, Floats]
    scale: float
    reach: tuple[int, int]
    least: float = 0.0

    @property
    def all_links(self) -> list[Link]:
        """Every array."""
        return [link for links in self.links.values() for link in links]

    def prices(self, plan: Plan) -> tuple[WeightPrice, ...]:
        """What rounding the weights cost."""
        found, scale = [], np.full(1, self.scale)
        for p in plan.projections:
            weights = with_values(p.weights, self.effective[p.name])
            told = price(p, weights, scale, _PRICED_BITS, 0, plan.node.shape)
            found.append(replace(told, bits=plan.precision.bits))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the float model did on calibration inputs: what the sources and this layer sent, its largest states."""

    sent: Mapping[str, Array]
    truth: Array
    observed: Observed


def made(plan: Plan, scale: float) -> Made:
    """The layer with that scale."""
    links, effective, low, high = {}, {}, 0, 0
    for p, first in zip(plan.projections, _firsts(plan, scale), strict=True):
        parts = parts_of(_values(p.weights), scale, plan.precision, first, plan.active.get(p.name))
        arrays = [_synapses(p.weights, part, plan.sources[p.source], plan.node.shape) for part in parts]
        links[p.name] = tuple(Link(p.source, "a", p.delay_steps, synapses) for synapses in arrays)
        effective[p.name] = in_all(parts)
        for synapses in arrays:
            least, greatest = synapse_sums(synapses, (0, 1)).delivered
            low, high = low + least, high + greatest
    population = plan.registers.population(plan.node, scale)
    started = plan.registers.population(plan.node, scale, plan.late)
    return Made(population, started, links, effective, scale, (low, high))


def activity(weights: Weights, sent: Array) -> float:
    """How many sources of a neuron spike together, in the mean of the steps in which any does; spikes as if by chance.

    sent: the raster of all sources, [T, B, *shape].
    """
    values = _values(weights)
    fan_in = values[0].size if values.ndim > 1 else 1
    mean = max(fan_in * float(np.count_nonzero(sent)) / max(1, sent.size), 1e-9)
    return mean / -float(np.expm1(-mean))


def choose(plan: Plan, seen: Seen | None, *, searching: bool) -> Made:
    """The layer with the best scale.

    Raises:
        UnsupportedError: no scale lets a readout be proved.
    """
    fitting = max((fitting_scale(_values(p.weights), plan.precision) for p in plan.projections), default=0.0) or 1.0
    least = max(plan.registers.smallest_scale(), _state_scale(plan, seen), _proof_scale(plan))
    largest = max(fitting, least * (1 + 1e-9))
    lowest = min(max(LEAST_FACTOR * fitting, least) / largest, 1.0)
    if not searching or lowest == 1.0:
        return replace(_proved(plan, largest), least=least)

    def error(factor: Floats) -> Floats:
        return np.array([_weight_error(plan, largest * float(factor[0]))])

    def measure(factor: Floats) -> Floats:
        if seen is None:
            return error(factor)
        one = made(plan, largest * float(factor[0]))
        got = response(one.population, one.all_links, seen.sent)
        return np.array([np.square(got - seen.truth).sum()]) if plan.readout else cells(seen.truth, got, 1)

    counted = seen is not None and not plan.readout
    work = sum(_values(p.weights).size for p in plan.projections)
    factor = search(
        (lowest, 1.0),
        1,
        error,
        measure,
        points=int(np.clip(POINTS_WORK // work, 1, MAX_POINTS)),
        surely=surely_nearer if counted else smaller,
        rank=rank if counted else float,
    )
    return replace(_proved(plan, largest * float(factor[0])), least=least)


def is_proved(one: Made) -> bool:
    """Whether no spikes can bring the membrane to the highest threshold, or u out of its bits."""
    ranges = population_ranges(one.started, {"a": one.reach})
    instructions = one.started.program.instructions
    saturating = next(n for n, step in enumerate(instructions) if step.op is Op.SATURATE)
    narrowing = {n for n, step in enumerate(instructions) if step.op in (Op.SATURATE, Op.WRAP, Op.WRAP_ONCE)}
    low, high = ranges.values[instructions[saturating].operands[0]]
    return narrowing <= ranges.proven and low >= -_HIGHEST and high <= _HIGHEST


def _proved(plan: Plan, scale: float) -> Made:
    one = made(plan, scale)
    if not plan.readout:
        return one
    for _ in range(PROOF_TRIES):
        if is_proved(one):
            return one
        one = made(plan, one.scale * COARSER)
    message = "nothing bounds the membrane of this readout: it could pass the highest threshold and be reset"
    raise UnsupportedError(message, where=plan.name, fix="use a shorter tau_mem, or fewer and smaller weights")


def _state_scale(plan: Plan, seen: Seen | None) -> float:
    """The smallest scale with which the states that were seen stay away from the ends of their bits."""
    if seen is None:
        return 0.0
    current = float(seen.observed.current.max()) + float(np.abs(plan.registers.held).max())
    membrane = float(seen.observed.membrane.max())
    return STATE_MARGIN * UNIT * max(current, membrane / plan.registers.alpha) / law.STATE_RANGE


def _proof_scale(plan: Plan) -> float:
    """About the smallest scale with which the membrane of a readout is bounded; 0 for what spikes."""
    if not plan.readout:
        return 0.0
    reach = np.zeros((2, prod(plan.node.shape)))
    for p in plan.projections:
        reach += [_row_sums(p.weights, sign, plan.node.shape) for sign in (-1, 1)]
    keeps = plan.registers.i_decay * plan.registers.v_decay / law.DECAY_UNITY**2
    driven = float(reach.max()) / keeps + float(np.abs(plan.registers.drive).max()) * law.DECAY_UNITY / max(
        1, plan.registers.v_decay
    )
    return UNIT * driven / _HIGHEST


def _row_sums(weights: Weights, sign: int, shape: Shape) -> Floats:
    """The sum of the weights of a sign at each neuron, or a bound of it."""
    values = np.maximum(sign * _values(weights), 0)
    sums = values.reshape(len(values), -1).sum(axis=1)
    return np.repeat(sums, prod(shape) // len(sums))


def _firsts(plan: Plan, scale: float) -> list[IntArray]:
    """The first array of every projection; those of a recurrent layer on one grid, since netx takes them together."""
    made_of = [first_of(_values(p.weights), scale, plan.precision) for p in plan.projections]
    dense = [not isinstance(p.weights, ConvWeights) for p in plan.projections]
    if len(made_of) == 2 and all(dense):
        loops = [p.source == plan.name for p in plan.projections]
        if sorted(loops) == [False, True]:
            pair = settled_together(made_of[loops.index(False)], made_of[loops.index(True)])
            return [pair[loop] for loop in loops]
    return [settled(first) if is_dense else first for first, is_dense in zip(made_of, dense, strict=True)]


def _synapses(weights: Weights, part: Part, source: Shape, target: Shape) -> Synapses:
    integers, delivery = _narrow(part.weight), law.lava_delivery(part.exponent, graded=False)
    if isinstance(weights, ConvWeights):
        window = (weights.stride, weights.padding, weights.dilation, weights.groups)
        return ConvSynapses(integers, source, target, *window, delivery if part.exponent else law.conv_delivery())
    return DenseSynapses(integers, source, target, delivery)


def _narrow(weight: IntArray) -> IntArray:
    low, high = int(weight.min()), int(weight.max())
    dtype = next(t for t in WEIGHT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(weight, dtype)


def _weight_error(plan: Plan, scale: float) -> float:
    total = 0.0
    for p in plan.projections:
        values = _values(p.weights)
        parts = parts_of(values, scale, plan.precision, first_of(values, scale, plan.precision))
        total += float(np.square(values - in_all(parts) * scale).sum())
    return total


def _values(weights: Weights) -> Floats:
    values: Floats = np.asarray(weights.weight, np.float64)
    return values
