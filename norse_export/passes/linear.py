"""Linear layers in series, composed into one set of real weights. Biases are left out: see lower.py.

What keeps its structure stays dense or a convolution: one layer alone, pooling and convolutions in series (where their
borders allow it), scales. Everything else is composed by sending unit vectors through the layers, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.errors import CapacityError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.shaping import Reorder

Array = NDArray[Any]
SPARSE_BELOW = 0.25  # of the weights that are not zero: composed weights with fewer are listed
MAX_SYNAPSES = 1 << 27  # of composed weights
_BLOCK_NUMBERS = 1 << 22  # numbers that unit vectors may take on their way, together


@dataclass(frozen=True, slots=True, eq=False)
class DenseWeights:
    """All to all: weight [N_out, N_in]; cells of source and target in C order."""

    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ConvWeights:
    """Cross-correlation with zero padding: weight [C_out, C_in / groups, kH, kW], input [C_in, H, W].

    The cells of the target are those of `map_shape`, in C order. One spatial axis is taken for a height of 1.
    """

    weight: FloatArray
    input_shape: Shape
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def map_shape(self) -> Shape:
        """(C_out, H_out, W_out)."""
        return self.as_layer().output_shape

    def as_layer(self) -> Conv:
        """The convolution as a layer without a bias."""
        size = self.input_shape[1:]
        return Conv(self.weight, size, None, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, slots=True, eq=False)
class SparseWeights:
    """Listed synapses, ordered by source: those of source j are starts[j] to starts[j + 1]; targets rise within it."""

    starts: NDArray[np.int64]
    targets: NDArray[np.int32]
    weight: FloatArray


Weights = DenseWeights | ConvWeights | SparseWeights


def composed(chain: Sequence[Layer], shape: Shape) -> Weights:
    """The weights of layers in series, from a source of that shape.

    Raises:
        CapacityError: more than MAX_SYNAPSES listed ones.
    """
    chain = [_without_bias(layer) for layer in chain if not _only_named(layer)]
    weights: Weights | None = None
    for number, layer in enumerate(chain):
        behind = _structured(layer, weights)
        if behind is None:
            return _thinned(*_pushed(chain[number:], weights, shape))
        weights = behind
    return identity(prod(shape)) if weights is None else weights


def identity(cells: int) -> SparseWeights:
    """One to one, with a weight of 1."""
    order = np.arange(cells + 1, dtype=np.int64)
    return SparseWeights(order, order[:-1].astype(np.int32), np.ones(cells))


def as_sparse(weights: Weights, source: Shape) -> SparseWeights:
    """The same weights, listed: those that are not zero."""
    return weights if isinstance(weights, SparseWeights) else _pushed([], weights, source)[0]


def with_rows_scaled(weights: Weights, factor: FloatArray, source: Shape) -> Weights:
    """Weights whose sums are those of `weights` times factor, [N_out]; listed where a convolution cannot have them."""
    match weights:
        case DenseWeights():
            return DenseWeights(weights.weight * factor[:, np.newaxis])
        case ConvWeights():
            per_channel = factor.reshape(weights.map_shape[0], -1)
            if np.all(per_channel == per_channel[:, :1]):
                return replace(weights, weight=weights.weight * per_channel[:, :1, np.newaxis, np.newaxis])
            return with_rows_scaled(as_sparse(weights, source), factor, source)
        case SparseWeights():
            return replace(weights, weight=weights.weight * factor[weights.targets])


def _only_named(layer: Layer) -> bool:
    """Whether every cell keeps its value and its place."""
    return isinstance(layer, Input | Output | Sum | Flatten) or (isinstance(layer, Reorder) and layer.in_order)


def _without_bias(layer: Layer) -> Layer:
    """The layer in float64 and without its bias; Conv1d as a convolution of height 1."""
    match layer:
        case Linear():
            return Linear(layer.weight)
        case Conv() if len(layer.size) == 1:
            return Conv(
                layer.weight[:, :, np.newaxis],
                (1, *layer.size),
                None,
                (1, *layer.stride),
                (0, *layer.padding),
                (1, *layer.dilation),
                layer.groups,
            )
        case Conv():
            return replace(layer, bias=None, folded=None)
        case _:
            return layer


def _structured(layer: Layer, before: Weights | None) -> Weights | None:
    """The layer behind what stands before it, in a form with structure; None where there is none."""
    if isinstance(layer, Linear):
        weight = layer.weight.astype(np.float64)
        match before:
            case None:
                return DenseWeights(weight)
            case DenseWeights():
                return DenseWeights(weight @ before.weight)
            case SparseWeights():  # a scale, one to one: nothing else is listed here
                return DenseWeights(weight * before.weight)
            case ConvWeights():
                return None
    if isinstance(layer, Scale):
        if isinstance(before, DenseWeights | SparseWeights):
            return with_rows_scaled(before, layer.scale.astype(np.float64).reshape(-1), ())
        if before is None and len(layer.scale.shape) != 3:
            return with_rows_scaled(identity(layer.scale.size), layer.scale.astype(np.float64).reshape(-1), ())
    own = _as_convolution(layer)
    if own is None or not (before is None or isinstance(before, ConvWeights)):
        return None
    return own if before is None else _behind(before, own)


def _as_convolution(layer: Layer) -> ConvWeights | None:
    match layer:
        case Conv():
            two = (layer.stride, layer.padding, layer.dilation)
            stride, padding, dilation = ((int(a), int(b)) for a, b in two)
            return ConvWeights(
                layer.weight.astype(np.float64), layer.input_shape, stride, padding, dilation, layer.groups
            )
        case Pool(kind="avg" | "sum"):
            value = 1 / prod(layer.kernel) if layer.kind == "avg" else 1.0
            channels, (height, width) = layer.shape[0], layer.kernel
            (down, right), (above, left) = layer.stride, layer.padding
            weight = np.full((channels, 1, height, width), value)
            return ConvWeights(weight, layer.shape, (down, right), (above, left), (1, 1), channels)
        case Scale() if len(layer.scale.shape) == 3:
            flat = layer.scale.astype(np.float64).reshape(layer.scale.shape[0], -1)
            if np.all(flat == flat[:, :1]):
                weight = flat[:, :1].reshape(-1, 1, 1, 1)
                return ConvWeights(weight, layer.scale.shape, groups=len(flat))
    return None


def _behind(first: ConvWeights, second: ConvWeights) -> ConvWeights | None:
    """Two convolutions in series as one; None where their borders differ from those of one.

    Padding of the second is zeros where the first would give sums over its own input's border: the two agree where
    such windows of the first lie outside of its input altogether.
    """
    kernel, maps = first.weight.shape[2:], first.map_shape[1:]
    for axis in (0, 1):
        beyond = maps[axis] * first.stride[axis] >= first.input_shape[1 + axis]  # so windows do not overlap either
        if second.padding[axis] and (first.padding[axis] or not beyond):
            return None
    groups = gcd(first.groups, second.groups)
    inner, outer = _ungrouped(first, groups), _ungrouped(second, groups)
    steps = [(first.dilation[a], first.stride[a] * second.dilation[a]) for a in (0, 1)]
    shape = [d * (kernel[a] - 1) + s * (outer.shape[3 + a] - 1) + 1 for a, (d, s) in enumerate(steps)]
    weight = np.zeros((groups, outer.shape[1], inner.shape[2], *shape))
    (d0, s0), (d1, s1) = steps
    for y, x in np.ndindex(outer.shape[3], outer.shape[4]):
        product = np.einsum("gom,gmihw->goihw", outer[..., y, x], inner)
        top, left = s0 * y, s1 * x
        weight[..., top : top + d0 * (kernel[0] - 1) + 1 : d0, left : left + d1 * (kernel[1] - 1) + 1 : d1] += product
    made = ConvWeights(
        weight.reshape(-1, inner.shape[2], *shape),
        first.input_shape,
        (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]),
        (
            first.padding[0] + first.stride[0] * second.padding[0],
            first.padding[1] + first.stride[1] * second.padding[1],
        ),
        (1, 1),
        groups,
    )
    return made if made.map_shape == second.map_shape else None


def _ungrouped(conv: ConvWeights, groups: int) -> Array:
    """The kernels in fewer groups, [groups, C_out / groups, C_in / groups, kH, kW]: zeros between the groups of old."""
    c_out, c_in, height, width = conv.weight.shape
    together = conv.groups // groups
    old = conv.weight.reshape(groups, together, c_out // conv.groups, c_in, height, width)
    new = np.zeros((groups, together, c_out // conv.groups, together, c_in, height, width))
    for number in range(together):
        new[:, number, :, number] = old[:, number]
    return new.reshape(groups, c_out // groups, c_in * together, height, width)


def _pushed(chain: Sequence[Layer], before: Weights | None, shape: Shape) -> tuple[SparseWeights, int]:
    """Weights found by sending the unit vectors of a source of that shape through `before` and the layers; N_out."""
    cells, n_out, total = prod(shape), 0, 0
    counts, targets, weights = [], [], []
    for block in _unit_vectors(cells, _widest(chain, before, cells)):
        sent = block if before is None else _sent(before, block)
        for layer in chain:
            sent = layers.apply(layer, sent.reshape(-1, *layer.input_shape))
        rows = sent.reshape(len(block), -1)
        row, column = np.nonzero(rows)
        n_out, total = rows.shape[1], total + len(row)
        if total > MAX_SYNAPSES:
            raise CapacityError(
                f"layers in series make more than {MAX_SYNAPSES} synapses when they are composed into one",
                where="lower",
                fix="put a neuron between the layers, or make them smaller",
            )
        counts.append(np.bincount(row, minlength=len(rows)))
        targets.append(column.astype(np.int32))
        weights.append(rows[row, column])
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    return SparseWeights(starts, np.concatenate(targets), np.concatenate(weights)), n_out


def _thinned(weights: SparseWeights, n_out: int) -> Weights:
    """Dense weights where so many are not zero."""
    cells = len(weights.starts) - 1
    if weights.weight.size <= SPARSE_BELOW * cells * n_out:
        return weights
    dense = np.zeros((n_out, cells))
    dense[weights.targets, np.repeat(np.arange(cells), np.diff(weights.starts))] = weights.weight
    return DenseWeights(dense)


def _unit_vectors(cells: int, width: int) -> Iterator[Array]:
    together = max(1, _BLOCK_NUMBERS // width)
    for start in range(0, cells, together):
        block = np.zeros((min(together, cells - start), cells))
        block[np.arange(len(block)), start + np.arange(len(block))] = 1.0
        yield block


def _widest(chain: Sequence[Layer], before: Weights | None, cells: int) -> int:
    sizes = [cells, *(prod(layer.output_shape) for layer in chain)]
    if isinstance(before, ConvWeights):
        sizes.append(prod(before.map_shape))
    return max(sizes)


def _sent(weights: Weights, x: Array) -> Array:
    """The sums [M, N_out] for x [M, N_in] in float64."""
    match weights:
        case DenseWeights():
            return np.asarray(x @ weights.weight.T)
        case ConvWeights():
            return layers.apply(weights.as_layer(), x.reshape(-1, *weights.input_shape)).reshape(len(x), -1)
        case SparseWeights():  # a scale, one to one
            return np.asarray(x * weights.weight)
