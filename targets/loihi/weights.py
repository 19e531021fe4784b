"""Real weights -> the integers that 8-bit synapses hold, chosen so that netx hands them to Lava unchanged.

Weights of one sign are 0..255 or -255..-1; mixed ones even, -256..254, or any of -128..127, which netx writes as even
ones with weight_exp = -1. Negative ones with a 0 among them are mixed ones to netx. It derives exponent and bits from
the numbers, and its defects follow from them: `settled` looks at what would arrive.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import CapacityError
from norse_export.ir.graph import Shape
from norse_export.passes.linear import DenseWeights, Weights, as_sparse

from . import law
from .law import IntArray
from .limits import MIXED_MAX, MIXED_MIN, MIXED_ODD_MAX, MIXED_ODD_MIN, ONE_SIGN_MAX
from .netx import optimised, together

Floats = NDArray[np.float64]
MAX_DENSE = 1 << 26  # weights of one layer written as a matrix


def largest_scale(values: Floats) -> float:
    """The weight that an integer 1 stands for, where the largest weight just fits; 0 for weights that are all 0."""
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low < 0 < high:
        return max(high / MIXED_MAX, low / MIXED_MIN)
    return max(high, -low) / ONE_SIGN_MAX


def whole(values: Floats, scale: float) -> IntArray:
    """The weights in whole numbers of scale."""
    real = values / scale
    near = np.rint(real)
    low, high = near.min(), near.max()
    if low >= 0 or high < 0:
        made = np.clip(near, -ONE_SIGN_MAX, ONE_SIGN_MAX)
    elif low >= MIXED_ODD_MIN and high <= MIXED_ODD_MAX:
        made = near
    else:
        made = np.clip(2 * np.rint(real / 2), MIXED_MIN, MIXED_MAX)
    return made.astype(np.int64)


def settled(weight: IntArray) -> IntArray:
    """Weights [N_out, N_in] that arrive unchanged: where netx would lose the least one, it comes nearer to 0.

    All zeros stay as they are: the caller refuses them, or leaves them out.
    """
    for _ in range(4):
        if not weight.any() or np.array_equal(arriving(weight), weight):
            return weight
        step = 1 if np.any(weight & 1) else 2
        low, high = int(weight.min()), int(weight.max())
        weight = np.maximum(weight, low + step) if low < 0 else np.minimum(weight, high - step)
    return weight


def arriving(weight: IntArray) -> IntArray:
    """What Lava adds up for weights of a .net file that are not all 0, before its shift of sums is undone exactly."""
    return _undone(*optimised(weight))


def settled_together(forward: IntArray, recurrent: IntArray) -> tuple[IntArray, IntArray]:
    """The two matrices of a recurrent layer, which netx looks at side by side: as `settled`, and on one grid.

    Recurrent weights that are all 0 are left out of the file.
    """
    if not recurrent.any():
        return settled(forward), recurrent
    sources = forward.shape[1]
    both = whole(np.hstack((forward, recurrent)).astype(np.float64), 1.0)
    for _ in range(4):
        if arrive_together(both[:, :sources], both[:, sources:]):
            break
        step = 1 if np.any(both & 1) else 2
        both = np.maximum(both, int(both.min()) + step)
    return both[:, :sources], both[:, sources:]


def arrive_together(forward: IntArray, recurrent: IntArray) -> bool:
    """Whether Lava adds up the weights of a recurrent layer as they stand in a .net file."""
    loaded = together(forward, recurrent)
    return all(
        np.array_equal(_undone(one.weight, one.num_weight_bits, one.weight_exp), given)
        for one, given in zip(loaded, (forward, recurrent), strict=True)
    )


def _undone(used: IntArray, bits: int, exponent: int) -> IntArray:
    """What Lava adds up, before its shift of sums is undone exactly."""
    return law.effective_weights(used, law.sign_mode_of(used), bits) >> -exponent if exponent <= 0 else used


def holds_8_bits(weight: IntArray) -> bool:
    """Whether synapses of 8 bits hold the weights of one array: see above."""
    low, high = int(weight.min()), int(weight.max())
    if low >= 0 or high <= 0:
        return max(high, -low) <= ONE_SIGN_MAX
    if low >= MIXED_ODD_MIN and high <= MIXED_ODD_MAX:
        return True
    return low >= MIXED_MIN and high <= MIXED_MAX and not np.any(weight & 1)


def as_dense(weights: Weights, source: Shape, cells: int, where: str) -> DenseWeights:
    """The same weights as a matrix.

    Raises:
        CapacityError: it would have more than MAX_DENSE numbers.
    """
    if isinstance(weights, DenseWeights):
        return weights
    listed = as_sparse(weights, source)
    n_in = len(listed.starts) - 1
    if n_in * cells > MAX_DENSE:
        message = f"a matrix of {cells} x {n_in} weights: netx has no other form for this layer"
        raise CapacityError(message, where=where, fix="use convolutions and dense layers without others between")
    matrix = np.zeros((cells, n_in))
    np.add.at(matrix, (listed.targets, np.repeat(np.arange(n_in), np.diff(listed.starts))), listed.weight)
    return DenseWeights(matrix)


def with_values(weights: Weights, values: Any) -> Weights:
    """The same structure with other numbers."""
    return replace(weights, weight=values)
