"""The arithmetic of the stateless layers, in numpy: values, and bounds of their rounding error.

Values are batches `[M, *shape]` of samples of single steps. An error bound travels beside a value as an array of the
same shape, or None for a value that is exact.

Source of the bound of a sum: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2: a sum of
n products in any order is off by at most n u sum |w x| to first order in the unit roundoff u.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum

Array = NDArray[Any]
_FOLD_ROUNDINGS = 4  # folding a batch normalisation: one division, one product, two additions for each weight and bias
_PATCH_BYTES = 64 * 2**20  # patches of a convolution are made for as many samples at a time as fit in this


def apply(node: Layer, x: Array) -> Array:
    """Give the layer's output [M, *output_shape] for x [M, *input_shape], computed in the dtype of x."""
    match node:
        case Input() | Output() | Sum():
            return x
        case Scale():
            return x * _as(node.scale, x)
        case Linear():
            y = x @ _as(node.weight, x).T
            return y if node.bias is None else y + _as(node.bias, x)
        case Conv():
            y = _correlate(node, x, _as(node.weight, x))
            return y if node.bias is None else y + _spread(_as(node.bias, x), y)
        case Pool():
            return _pool(node, x)
        case Flatten():
            return x.reshape(x.shape[0], *node.output_shape)


def bound(node: Layer, x: Array, error: Array | None, u: float) -> Array | None:
    """Bound how far a computation with unit roundoff u may be from `apply(node, x)`, when x is off by up to `error`."""
    match node:
        case Input() | Output() | Sum():
            return error
        case Flatten():
            return None if error is None else error.reshape(error.shape[0], *node.output_shape)
        case Scale():
            size = np.abs(node.scale)
            return u * size * np.abs(x) + (0 if error is None else size * error)
        case Linear() | Conv():
            return _weighted_bound(node, x, error, u)
        case Pool():
            if node.kind == "max":
                return None if error is None else _pool(node, error)
            terms = np.prod(node.kernel) + 2  # the sum, and a division or a division and a product
            own = terms * u * _pool(node, np.abs(x))
            return own if error is None else own + _pool(node, error)


def _weighted_bound(node: Linear | Conv, x: Array, error: Array | None, u: float) -> Array:
    terms = int(np.prod(node.weight.shape[1:])) + (node.bias is not None)
    if node.folded is not None:
        terms += _FOLD_ROUNDINGS
    size = np.abs(_as(node.weight, x))

    def weigh(values: Array) -> Array:
        return values @ size.T if isinstance(node, Linear) else _correlate(node, values, size)

    total = weigh(np.abs(x))
    if node.bias is not None:
        total = total + _spread(np.abs(_as(node.bias, x)), total)
    own = terms * u * total
    if node.folded is not None:
        own = own + _FOLD_ROUNDINGS * u * _spread(_as(node.folded, x), total)
    return own if error is None else own + weigh(error)


def _as(array: Array, like: Array) -> Array:
    return array.astype(like.dtype, copy=False)


def _spread(per_channel: Array, like: Array) -> Array:
    """Shape [C] as [C, 1, ...] so that it broadcasts over the spatial axes of `like` [M, C, ...]."""
    return per_channel.reshape(-1, *(1,) * (like.ndim - 2))


def _correlate(node: Conv, x: Array, weight: Array) -> Array:
    out = np.empty((x.shape[0], *node.output_shape), x.dtype)
    patch = int(np.prod(weight.shape[1:])) * node.groups * int(np.prod(node.output_shape[1:])) * x.dtype.itemsize
    chunk = max(1, _PATCH_BYTES // patch)
    channels_in, channels_out = weight.shape[1], weight.shape[0] // node.groups
    for start in range(0, x.shape[0], chunk):
        windows = _windows(x[start : start + chunk], node.kernel, node.stride, node.padding, node.dilation)
        for group in range(node.groups):
            taken = windows[:, group * channels_in : (group + 1) * channels_in]
            kernels = weight[group * channels_out : (group + 1) * channels_out]
            axes = len(node.kernel)
            over = ([1, *range(2 + axes, 2 + 2 * axes)], [1, *range(2, 2 + axes)])
            product = np.tensordot(taken, kernels, axes=over)  # [m, *out, c_out]
            out[start : start + chunk, group * channels_out : (group + 1) * channels_out] = np.moveaxis(product, -1, 1)
    return out


def _windows(x: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, fill: float = 0.0) -> Array:
    """Windows [m, C, *out, *kernel] of x [m, C, *size], as a view where no padding is needed."""
    if any(padding):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = sliding_window_view(x, spans, axis=tuple(range(2, x.ndim)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    return windows[(*steps, *(slice(None, None, d) for d in dilation))]


def _pool(node: Pool, x: Array) -> Array:
    fill = -np.inf if node.kind == "max" else 0.0
    windows = _windows(x, node.kernel, node.stride, node.padding, (1, 1), fill)
    if node.kind == "max":
        return np.asarray(windows.max(axis=(-2, -1)))
    total = np.asarray(windows.sum(axis=(-2, -1), dtype=x.dtype))
    return total / x.dtype.type(np.prod(node.kernel)) if node.kind == "avg" else total
