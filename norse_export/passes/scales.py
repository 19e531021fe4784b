"""Scales of weights: what a 1 stands for, for each channel of a population, and the weights in whole numbers of it.

All projections onto a population share one scale for each channel, since their sums are added; a projection whose
weights are several times larger than another's has 2^exponent times that scale, and its sums are shifted left by the
exponent. A channel is a feature map of a convolution, or a row of dense weights; without `per_channel` there is one.

Weights of b bits are symmetric, -(2^(b-1) - 1) to 2^(b-1) - 1, rounded half to even and clipped. One bit is -1 or +1:
the sign (of a zero, +1) with the mean magnitude as the scale, which makes the squared error least. Source of the
latter: M. Rastegari et al., XNOR-Net, ECCV 2016, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, gcd, log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, SparseSynapses, Synapses
from norse_export.ir.graph import Shape
from norse_export.passes.linear import ConvWeights, DenseWeights, SparseWeights, Weights, as_sparse
from norse_export.passes.lowered import Projection

Array = NDArray[Any]
Floats = NDArray[np.float64]
MAX_EXPONENT = 8  # by which scales of projections onto one population differ, unless the weights lie on a grid
_CHUNK = 1 << 22  # weights looked at together
_ONE_BIT = (0.25, 2.0)  # factors of a scale that a search may try: of the mean
_MORE_BITS = (0.3, 1.0)  # of the largest; down to the median where single weights are far larger than the others
_LEAST = 2.0**-16  # of such a factor


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """largest: [channels], the scale with which no weight is clipped. exponents: of each projection, by its name.

    exact: all weights are whole multiples of it. factors: least and greatest of what a search may multiply it by.
    """

    largest: Floats
    exponents: Mapping[str, int]
    exact: bool
    factors: tuple[float, float]


@dataclass(frozen=True, slots=True)
class WeightPrice:
    """What rounding the weights of one projection cost.

    scale: least and greatest over the channels of what a weight of 1 stands for. error_max: largest error of a weight
    that is not clipped, in scales (at most 0.5). error_rms: of all weights, relative to the weights' own rms. clipped:
    weights beyond the range. zeroed: weights other than 0 that became 0; `nonzero` is the number of those. layers: of
    the model, composed in it. outlier: the largest weight, relative to that which 99 % of the others are smaller than.
    """

    name: str
    bits: int
    exponent: int
    scale: tuple[float, float]
    weights: int
    nonzero: int
    error_max: float
    error_rms: float
    clipped: int
    zeroed: int
    layers: tuple[str, ...] = ()
    outlier: float = 1.0


def largest_weight(bits: int) -> int:
    """The largest whole number that a weight can be."""
    return max(1, (1 << (bits - 1)) - 1)


def channels(projections: Sequence[Projection], shape: Shape, *, per_channel: bool) -> int:
    """How many scales a population of that shape has: a channel is a stretch of its cells in C order."""
    count = prod(shape)
    if not per_channel or not projections:
        return 1
    maps = (p.weights.map_shape[0] for p in projections if isinstance(p.weights, ConvWeights))
    return gcd(count, *maps)


def find_scales(projections: Sequence[Projection], bits: Mapping[str, int], count: int, cells: int) -> Scales:
    """The scales of all projections onto one population of so many cells; bits: by the name of each."""
    wide = [p for p in projections if bits[p.name] > 1]
    if wide and len(wide) == len(projections) and (grid := _grids(projections, bits)) is not None:
        finest = min(grid.values())
        exponents = {name: exponent - finest for name, exponent in grid.items()}
        return Scales(np.full(count, 2.0**finest), exponents, True, (1.0, 1.0))
    sizes = {p.name: _sizes(p.weights, bits[p.name], count, cells) for p in projections}
    overall = {name: float(size.max(initial=0.0)) for name, size in sizes.items()}
    finest_scale = min((size for size in overall.values() if size > 0), default=1.0)
    exponents = {}
    for p in projections:
        apart = log2(max(overall[p.name], finest_scale) / finest_scale)
        exponents[p.name] = min(MAX_EXPONENT, round(apart) if bits[p.name] == 1 else ceil(apart - 1e-9))
    decisive = wide or projections
    largest = np.max([sizes[p.name] * 2.0 ** -exponents[p.name] for p in decisive], axis=0, initial=0.0)
    largest = np.broadcast_to(largest, (count,))
    largest = np.where(largest > 0, largest, largest.max() if largest.any() else 1.0)
    exact = not any(overall.values())
    factors = (1.0, 1.0) if exact else (_least(decisive), _MORE_BITS[1]) if wide else _ONE_BIT
    return Scales(largest, exponents, exact, factors)


def _least(projections: Sequence[Projection]) -> float:
    """The least factor of the scale that is worth a try: with which the largest number stands for the median weight."""
    least = _MORE_BITS[0]
    for p in projections:
        size = np.abs(_values(p.weights)).reshape(-1)
        size = size[size > 0]
        if size.size:
            least = min(least, float(np.median(size)) / float(size.max()))
    return max(least, _LEAST)


def whole_weights(projection: Projection, scale: Floats, bits: int, shape: Shape) -> Weights:
    """The weights in whole numbers of scale [channels], as float64 in the same structure.

    Conv keeps its structure; the target has that shape.
    """
    values, rows = _values(projection.weights), _scale_of_rows(projection.weights, scale, prod(shape))
    made = np.empty(values.shape)
    for part in _parts(values):
        made[part] = _rounded(values[part] / rows[part], bits)
    return _with_values(projection.weights, made)


def synapses(weights: Weights, bits: int, exponent: int, source: Shape, target: Shape) -> Synapses:
    """Nodes of the fixed graph for weights in whole numbers; a convolution that the graph's shapes cannot carry (over
    one spatial axis) is listed.
    """
    dtype, delivery = np.int8 if bits <= 8 else np.int16, Delivery(shift=exponent)
    match weights:
        case DenseWeights():
            return DenseSynapses(weights.weight.astype(dtype), source, target, delivery)
        case ConvWeights() if weights.input_shape == source:
            return ConvSynapses(
                weights.weight.astype(dtype),
                source,
                target,
                weights.stride,
                weights.padding,
                weights.dilation,
                weights.groups,
                delivery,
            )
        case _:
            listed = as_sparse(weights, source)
            return SparseSynapses(listed.starts, listed.targets, listed.weight.astype(dtype), source, target, delivery)


def price(projection: Projection, whole: Weights, scale: Floats, bits: int, exponent: int, shape: Shape) -> WeightPrice:
    """What the rounding cost; scale [channels] is that of the projection, its exponent included."""
    real, made = _values(projection.weights), _values(whole)
    rows, top = _scale_of_rows(projection.weights, scale, prod(shape)), largest_weight(bits)
    clipped = zeroed = nonzero = 0
    error_max = squared = total = 0.0
    for part in _parts(real):
        w, q, s = real[part].astype(np.float64), made[part], rows[part]
        beyond = np.abs(w) > (top + 0.5) * s if bits > 1 else np.zeros(w.shape, bool)
        error = np.abs(w - q * s)
        clipped += int(np.count_nonzero(beyond))
        zeroed += int(np.count_nonzero((q == 0) & (w != 0)))
        nonzero += int(np.count_nonzero(w))
        error_max = max(error_max, float(np.where(beyond, 0.0, error / s).max(initial=0.0)))
        squared, total = squared + float(np.sum(error**2)), total + float(np.sum(w**2))
    return WeightPrice(
        name=projection.name,
        bits=bits,
        exponent=exponent,
        scale=(float(scale.min()), float(scale.max())),
        weights=real.size,
        nonzero=nonzero,
        error_max=error_max,
        error_rms=(squared / total) ** 0.5 if total else 0.0,
        clipped=clipped,
        zeroed=zeroed,
        layers=projection.layers,
        outlier=_outlier(real),
    )


def _outlier(values: Array) -> float:
    """The largest weight, relative to the 99 % quantile of those that are not 0."""
    size = np.abs(values).reshape(-1)
    size = size[size > 0]
    if not size.size:
        return 1.0
    usual = float(np.quantile(size, 0.99, method="lower"))
    return float(size.max()) / usual


def squared_errors(projection: Projection, scale: Floats, bits: int, shape: Shape) -> Floats:
    """Sum of the squared errors of the weights of each channel, for scale [channels]; [channels]."""
    values, cells = _values(projection.weights), prod(shape)
    rows = _scale_of_rows(projection.weights, scale, cells)
    squared = np.zeros(len(values))
    for part in _parts(values):
        error = values[part] - _rounded(values[part] / rows[part], bits) * rows[part]
        squared[part] = np.square(error).reshape(len(error), -1).sum(axis=1)
    totals = np.zeros(len(scale))
    np.add.at(totals, _channel_of_rows(projection.weights, len(scale), cells), squared)
    return totals


def _rounded(x: Floats, bits: int) -> Floats:
    """Numbers in scales as whole ones; half to even."""
    if bits == 1:
        return np.where(x >= 0, 1.0, -1.0)
    top = largest_weight(bits)
    whole = np.rint(x)
    return np.clip(whole, -top, top, out=whole)


def _values(weights: Weights) -> Array:
    """[rows, ...]: the kernels of a convolution, the rows of dense weights, each listed weight."""
    return weights.weight


def _with_values(weights: Weights, values: Floats) -> Weights:
    match weights:
        case DenseWeights():
            return DenseWeights(values)
        case ConvWeights():
            return ConvWeights(
                values, weights.input_shape, weights.stride, weights.padding, weights.dilation, weights.groups
            )
        case SparseWeights():
            return SparseWeights(weights.starts, weights.targets, values)


def _channel_of_rows(weights: Weights, count: int, cells: int) -> Array:
    """The channel of each row of `_values`."""
    match weights:
        case DenseWeights() | ConvWeights():
            return np.arange(len(weights.weight)) // (len(weights.weight) // count)
        case SparseWeights():
            return weights.targets // (cells // count)


def _scale_of_rows(weights: Weights, scale: Floats, cells: int) -> Floats:
    rows = scale[_channel_of_rows(weights, len(scale), cells)]
    return rows.reshape(-1, *(1,) * (weights.weight.ndim - 1))


def _parts(values: Array) -> Iterator[slice]:
    rows = max(1, _CHUNK // max(1, prod(values.shape[1:])))
    return (slice(start, start + rows) for start in range(0, len(values), rows))


def _sizes(weights: Weights, bits: int, count: int, cells: int) -> Floats:
    """The scale that each channel asks for, [count]: largest weight by largest number; of one bit the mean size."""
    values, channel = _values(weights), _channel_of_rows(weights, count, cells)
    rows = np.zeros(len(values))
    for part in _parts(values):
        size = np.abs(values[part].astype(np.float64)).reshape(len(values[part]), -1)
        rows[part] = size.mean(axis=1) if bits == 1 else size.max(axis=1)
    if bits == 1:
        number = np.bincount(channel, minlength=count)
        return np.bincount(channel, rows, minlength=count) / np.maximum(number, 1)
    sizes = np.zeros(count)
    np.maximum.at(sizes, channel, rows)
    return sizes / largest_weight(bits)


def _grids(projections: Sequence[Projection], bits: Mapping[str, int]) -> dict[str, int] | None:
    """For each projection the exponent of the finest power of two that its weights fit in, if all are multiples."""
    found: dict[str, int] = {}
    for p in projections:
        values = _values(p.weights)
        size = float(np.abs(values).max(initial=0.0))
        if size == 0:
            continue
        exponent = ceil(log2(size / largest_weight(bits[p.name])) - 1e-12)
        if any(np.any(values[part] / 2.0**exponent % 1) for part in _parts(values)):
            return None
        found[p.name] = exponent
    if not found or max(found.values()) - min(found.values()) > 2 * MAX_EXPONENT:
        return None
    return {p.name: found.get(p.name, min(found.values())) for p in projections}
