"""Weights in 16 bits: the shift of each ring buffer, and the synapses of each receptor type as whole numbers.

A weight w is the magnitude rint(|w| 2^(15 - shift)); its sign is the receptor type. What arrives in a step is summed in
16 bits without a sign, which saturates, and then shifted. The shift is one for each population and receptor type: as
small as it can be so that the largest sum that was seen on the calibration inputs fits MARGIN times; without any it is
the one that PyNN's front end for the chip takes, by which every synapse of a neuron may be active in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.interpret.fixed import summed
from norse_export.ir.bounds import weight_totals
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, SparseSynapses, Synapses
from norse_export.ir.graph import Shape
from norse_export.passes.linear import ConvWeights, DenseWeights, SparseWeights, Weights
from norse_export.passes.scales import WeightPrice

from .derive import FRACTION_BITS, IntArray
from .law import RING_MAX

Array = NDArray[Any]
MARGIN = 1.5  # of the largest sum that was seen. Chosen: maxima of other rasters exceed it by less
MOST = FRACTION_BITS  # the largest shift with which what is shifted stays below 2^31
WEIGHT_BITS = 16
_FINE = 20  # bits of a weight when sums are measured


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Weights of one receptor type onto a population: real magnitudes, 0 where there is no synapse.

    source, delay_steps: what sends, and how many steps later it arrives in the model.
    """

    name: str
    source: str
    delay_steps: int
    weights: Weights
    shapes: tuple[Shape, Shape]

    @property
    def largest(self) -> float:
        """The largest weight."""
        return float(self.weights.weight.max(initial=0))

    def whole(self, per_unit: float) -> Synapses:
        """As whole numbers, rounded half to even: so many for a weight of 1."""
        return _synapses(self.weights, np.rint(self.weights.weight * per_unit), self.shapes)


def one_sign(weights: Weights, sign: int) -> Weights:
    """The magnitudes of the weights of that sign."""
    magnitude = np.maximum(sign * weights.weight, 0.0)
    match weights:
        case DenseWeights():
            return DenseWeights(magnitude)
        case ConvWeights():
            two = (weights.stride, weights.padding, weights.dilation)
            return ConvWeights(magnitude, weights.input_shape, *two, weights.groups)
        case SparseWeights():
            return SparseWeights(weights.starts, weights.targets, magnitude)


def largest_sum(rows: Sequence[Rows], sent: Mapping[str, Array]) -> float:
    """The largest sum of weights that arrives at a neuron in one step, for what the sources send [T, B, *shape]."""
    per_unit = 2.0**_FINE / max(one.largest for one in rows)
    total: Any = 0
    for one in rows:
        arriving = summed(one.name, one.whole(per_unit), sent[one.source].astype(np.int8))
        late = np.zeros_like(arriving)
        late[one.delay_steps :] = arriving[: max(0, len(arriving) - one.delay_steps)]
        total = total + late
    return float(total.max()) / per_unit


def shift_for(largest: float, weight: float) -> int:
    """The least shift with which a sum and a weight fit 16 bits; more than MOST where none of the chip's does."""
    return next((shift for shift in range(MOST + 1) if max(largest, weight) * per_one(shift) <= RING_MAX), MOST + 1)


def default_shift(rows: Sequence[Rows]) -> int:
    """The shift that sPyNNaker takes by itself where all delays of a projection are the same.

    Source: sPyNNaker 7.4.1, population_vertex.py, get_ring_buffer_shifts; measured: tests/goldens/spinnaker.
    """
    largest = 0.0
    for one in rows:
        _, totals = weight_totals(_synapses(one.weights, np.ceil(np.minimum(one.weights.weight, 1)), one.shapes))
        largest += one.largest * float(totals.max(initial=0))
    largest = max([largest, *(one.largest for one in rows)])
    shift = max(0, ceil(log2(largest))) if largest else 0
    return shift + (2.0**shift <= largest)


def sums_possible(rows: Sequence[Rows]) -> float:
    """The largest sum that can arrive at a neuron: when every source sends."""
    per_unit = 2.0**_FINE / max((one.largest for one in rows), default=1.0)
    return largest_possible([one.whole(per_unit) for one in rows]) / per_unit


def per_one(shift: int) -> float:
    """What a weight of 1 is in whole numbers."""
    return 2.0 ** (FRACTION_BITS - shift)


def largest_possible(synapses: Sequence[Synapses]) -> int:
    """The largest sum that can arrive at a neuron: when every source sends."""
    totals: Any = sum((weight_totals(node)[1] for node in synapses), np.zeros(1, np.int64))
    return int(totals.max(initial=0))


def price(rows: Rows, synapses: Synapses, shift: int, *, label: str) -> WeightPrice:
    """What rounding these weights cost."""
    real, whole = rows.weights.weight, synapses.weight / per_one(shift)
    size, wrong = (float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0 for x in (real, whole - real))
    return WeightPrice(
        name=label,
        bits=WEIGHT_BITS,
        exponent=0,
        scale=(1 / per_one(shift), 1 / per_one(shift)),
        weights=int(real.size),
        nonzero=int(np.count_nonzero(real)),
        error_max=float(np.abs(whole - real).max(initial=0)) * per_one(shift),
        error_rms=wrong / size if size else 0.0,
        clipped=0,
        zeroed=int(np.count_nonzero((real != 0) & (whole == 0))),
    )


def _synapses(weights: Weights, magnitude: Array, shapes: tuple[Shape, Shape]) -> Synapses:
    whole = narrowed(magnitude)
    match weights:
        case DenseWeights():
            return DenseSynapses(whole, *shapes)
        case SparseWeights():
            return SparseSynapses(weights.starts, weights.targets, whole, *shapes)
        case ConvWeights():
            return ConvSynapses(
                whole,
                weights.input_shape,
                shapes[1],
                weights.stride,
                weights.padding,
                weights.dilation,
                weights.groups,
            )


def narrowed(magnitude: Array) -> IntArray:
    """Whole numbers in the narrowest type that holds them."""
    largest = magnitude.max(initial=0)
    dtype = next(kind for kind in (np.int8, np.int16, np.int32) if largest <= np.iinfo(kind).max)
    return magnitude.astype(dtype)
