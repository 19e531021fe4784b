"""The scale of one layer: what an integer weight of 1 stands for, chosen by spikes on calibration inputs.

All weights onto a population share one scale, since the chip adds them up before anything else. The search tries scales
below the one with which the largest weight just fits (weights are then clipped), never so small that threshold or bias
leave their registers, or that states seen on the calibration inputs come within STATE_MARGIN of the ends of 24 bits.
A readout has to be proved: whatever spikes arrive, its membrane stays below the highest threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.ir.bounds import population_ranges, synapse_sums
from norse_export.ir.fixed import WEIGHT_TYPES, ConvSynapses, DenseSynapses, Population, Synapses
from norse_export.ir.graph import Shape
from norse_export.ir.stages import Neuron
from norse_export.passes.calibrate import Link, fewer, response, search, smaller
from norse_export.passes.integers import Observed
from norse_export.passes.linear import ConvWeights, Weights
from norse_export.passes.lowered import Projection
from norse_export.passes.scales import WeightPrice, price
from norse_export.program.operations import Op

from . import law
from .law import IntArray
from .limits import THRESHOLD_MAX
from .registers import UNIT, Registers
from .weights import largest_scale, settled, settled_together, whole, with_values

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
    """A layer before its scale is chosen. projections: as the chip will have them, gains folded in."""

    name: str
    node: Neuron
    registers: Registers
    projections: tuple[Projection, ...]
    sources: Mapping[str, Shape]

    @property
    def readout(self) -> bool:
        """Whether the host reads its membrane."""
        return self.registers.v_th is None


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A layer in whole numbers; scale: what an integer weight of 1 stands for. links: without the chip's delay."""

    population: Population
    links: Mapping[str, Link]
    scale: float
    reach: tuple[int, int]

    def prices(self, plan: Plan) -> tuple[WeightPrice, ...]:
        """What rounding the weights cost."""
        found = []
        for p in plan.projections:
            weights = with_values(p.weights, self.links[p.name].synapses.weight.astype(np.float64))
            scale = np.full(1, self.scale)
            found.append(replace(price(p, weights, scale, _PRICED_BITS, 0, plan.node.shape), bits=law.WEIGHT_BITS))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the float model did on calibration inputs: what the sources and this layer sent, its largest states."""

    sent: Mapping[str, Array]
    truth: Array
    observed: Observed


def made(plan: Plan, scale: float) -> Made:
    """The layer with that scale."""
    links, low, high = {}, 0, 0
    for p, synapses in zip(plan.projections, _all_synapses(plan, scale), strict=True):
        links[p.name] = Link(p.source, "a", p.delay_steps, synapses)
        least, greatest = synapse_sums(synapses, (0, 1)).delivered
        low, high = low + least, high + greatest
    return Made(plan.registers.population(plan.node, scale), links, scale, (low, high))


def choose(plan: Plan, seen: Seen | None, *, searching: bool) -> Made:
    """The layer with the best scale.

    Raises:
        UnsupportedError: no scale lets a readout be proved.
    """
    fitting = max((largest_scale(_values(p.weights)) for p in plan.projections), default=0.0) or 1.0
    least = max(plan.registers.smallest_scale(), _state_scale(plan, seen), _proof_scale(plan))
    largest = max(fitting, least * (1 + 1e-9))
    lowest = min(max(LEAST_FACTOR * fitting, least) / largest, 1.0)
    if not searching or lowest == 1.0:
        return _proved(plan, largest)

    def error(factor: Floats) -> Floats:
        return np.array([_weight_error(plan, largest * float(factor[0]))])

    def measure(factor: Floats) -> Floats:
        if seen is None:
            return error(factor)
        one = made(plan, largest * float(factor[0]))
        got = response(one.population, list(one.links.values()), seen.sent)
        wrong = np.square(got - seen.truth) if plan.readout else got != seen.truth
        return np.array([wrong.sum(dtype=np.float64)])

    work = sum(_values(p.weights).size for p in plan.projections)
    factor = search(
        (lowest, 1.0),
        1,
        error,
        measure,
        points=int(np.clip(POINTS_WORK // work, 1, MAX_POINTS)),
        surely=smaller if plan.readout else fewer,
    )
    return _proved(plan, largest * float(factor[0]))


def is_proved(one: Made) -> bool:
    """Whether no spikes can bring the membrane to the highest threshold, or u out of its bits."""
    ranges = population_ranges(one.population, {"a": one.reach})
    instructions = one.population.program.instructions
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
    current, membrane = float(seen.observed.current.max()), float(seen.observed.membrane.max())
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


def _all_synapses(plan: Plan, scale: float) -> list[Synapses]:
    """The synapses of every projection; those of a recurrent layer on one grid, since netx takes them together."""
    found = [_synapses(p.weights, scale, plan.sources[p.source], plan.node.shape) for p in plan.projections]
    loops = [p.source == plan.name for p in plan.projections]
    if sorted(loops) != [False, True]:
        return found
    forward, recurrent = found[loops.index(False)], found[loops.index(True)]
    if isinstance(forward, DenseSynapses) and isinstance(recurrent, DenseSynapses):
        pair = settled_together(forward.weight.astype(np.int64), recurrent.weight.astype(np.int64))
        kept: list[Synapses] = [
            replace(one, weight=_narrow(w)) for one, w in zip((forward, recurrent), pair, strict=True)
        ]
        return kept[::-1] if loops[0] else kept
    return found


def _synapses(weights: Weights, scale: float, source: Shape, target: Shape) -> Synapses:
    integers = whole(_values(weights), scale)
    if isinstance(weights, ConvWeights):
        window = (weights.stride, weights.padding, weights.dilation, weights.groups)
        return ConvSynapses(_narrow(integers), source, target, *window, law.conv_delivery())
    return DenseSynapses(_narrow(settled(integers)), source, target)


def _narrow(weight: IntArray) -> IntArray:
    low, high = int(weight.min()), int(weight.max())
    dtype = next(t for t in WEIGHT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(weight, dtype)


def _weight_error(plan: Plan, scale: float) -> float:
    arrays: Sequence[Floats] = [_values(p.weights) for p in plan.projections]
    return float(sum(np.square(values - whole(values, scale) * scale).sum() for values in arrays))


def _values(weights: Weights) -> Floats:
    values: Floats = np.asarray(weights.weight, np.float64)
    return values
