"""The arithmetic of the stateless layers, in numpy. Values are batches `[M, *shape]` of samples of single steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice

Array = NDArray[Any]
_PATCH_BYTES = 16 * 2**20  # patches of a convolution are made for as many samples or rows at a time as fit in this


def apply(node: Layer, x: Array, *others: Array) -> Array:
    """Give the layer's output [M, *output_shape] for x [M, *input_shape], computed in the dtype of x.

    others: what arrives at further ports, of a layer that has several.
    """
    match node:
        case Input() | Output() | Sum():
            return x
        case Scale():
            return x * as_type(node.scale, x)
        case Linear():
            y = x @ as_type(node.weight, x).T
            return y if node.bias is None else y + as_type(node.bias, x)
        case Conv():
            y = correlate(node, x, as_type(node.weight, x))
            return y if node.bias is None else y + spread(as_type(node.bias, x), y)
        case Pool():
            return pool(node, x)
        case Flatten():
            return x.reshape(x.shape[0], *node.output_shape)
        case Slice():
            return x[:, *node.index]
        case Pad():
            return np.pad(x, [(0, 0), *zip(node.before, node.after, strict=True)])
        case Reorder():
            return x.transpose(0, *(axis + 1 for axis in node.order)).reshape(x.shape[0], *node.into)
        case Elementwise():
            parameters = {name: as_type(value, x) for name, value in node.parameters.items()}
            return np.asarray(node.family.step(x, *others, **parameters).output)


def rounded(node: Layer, dtype: str) -> Layer:
    """Give the layer with its weights rounded to `dtype`, as a run in that type has them."""
    match node:
        case Scale():
            return node if node.scale.dtype == dtype else Scale(node.scale.astype(dtype))
        case Linear() | Conv():
            given = (node.weight, node.bias, node.folded)
            if all(array is None or array.dtype == dtype for array in given):
                return node
            _, bias, folded = (None if array is None else array.astype(dtype) for array in given)
            return replace(node, weight=node.weight.astype(dtype), bias=bias, folded=folded)
        case Elementwise():
            values = {name: value.astype(dtype, copy=False) for name, value in node.parameters.items()}
            return replace(node, parameters=values)
        case Input() | Output() | Sum() | Pool() | Flatten() | Slice() | Pad() | Reorder():
            return node


def as_type(array: Array, like: Array) -> Array:
    """The array in the float type of another; itself where it is so already."""
    return array.astype(like.dtype, copy=False)


def spread(per_channel: Array, like: Array) -> Array:
    """Shape [C] as [C, 1, ...] so that it broadcasts over the spatial axes of `like` [M, C, ...]."""
    return per_channel.reshape(-1, *(1,) * (like.ndim - 2))


def correlate(node: Conv, x: Array, weight: Array) -> Array:
    """Cross-correlation of x [M, C_in, *size] with a weight in the place of the node's own, without a bias."""
    out = np.empty((x.shape[0], *node.output_shape), x.dtype)
    channels_in, channels_out = weight.shape[1], weight.shape[0] // node.groups
    axes = len(node.kernel)
    over = ([1, *range(2 + axes, 2 + 2 * axes)], [1, *range(2, 2 + axes)])
    windows = _windows(x, node.kernel, node.stride, node.padding, node.dilation)
    row_bytes = prod(weight.shape[1:]) * prod(node.output_shape[2:]) * x.dtype.itemsize
    for group in range(node.groups):
        taken = windows[:, group * channels_in : (group + 1) * channels_in]
        kernels = weight[group * channels_out : (group + 1) * channels_out]
        given = out[:, group * channels_out : (group + 1) * channels_out]
        for samples, rows in _tiles(x.shape[0], node.output_shape[1], row_bytes):
            product = np.tensordot(taken[samples, :, rows], kernels, axes=over)  # [m, *out, c_out]
            given[samples, :, rows] = np.moveaxis(product, -1, 1)
    return out


def _tiles(samples: int, rows: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Stretches of samples, or of rows of one sample, whose patches fit in _PATCH_BYTES; at least one row each."""
    together = max(1, _PATCH_BYTES // (row_bytes * rows))
    height = rows if row_bytes * rows <= _PATCH_BYTES else max(1, _PATCH_BYTES // row_bytes)
    for sample in range(0, samples, together):
        for row in range(0, rows, height):
            yield slice(sample, sample + together), slice(row, row + height)


def _windows(x: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, fill: float = 0.0) -> Array:
    """Windows [m, C, *out, *kernel] of x [m, C, *size], as a view where no padding is needed."""
    if any(padding):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = sliding_window_view(x, spans, axis=tuple(range(2, x.ndim)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    return windows[(*steps, *(slice(None, None, d) for d in dilation))]


def pool(node: Pool, x: Array) -> Array:
    """Pool x [M, C, H, W] over the node's windows."""
    fill = -np.inf if node.kind == "max" else 0.0
    windows = _windows(x, node.kernel, node.stride, node.padding, (1, 1), fill)
    if node.kind == "max":
        return np.asarray(windows.max(axis=(-2, -1)))
    total = np.asarray(windows.sum(axis=(-2, -1), dtype=x.dtype))
    return total / x.dtype.type(prod(node.kernel)) if node.kind == "avg" else total
