"""Layers computed with their sums in a random order, one term after the other, as another library might."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine import layers
from norse_export.ir.layers import Conv, Layer, Linear, Pool

Array = NDArray[Any]
_apply = layers.apply


def in_another_order(node: Layer, x: Array, generator: np.random.Generator) -> Array:
    """The layer in the dtype of x."""
    dtype = x.dtype.type
    match node:
        case Linear():
            terms, bias = x[:, None, :] * node.weight.astype(dtype), node.bias
        case Conv():
            terms, bias = _products(node, x), node.bias
            bias = None if bias is None else bias.reshape(-1, *(1,) * len(node.kernel))
        case Pool(kind="sum" | "avg"):
            windows = layers._windows(x, node.kernel, node.stride, node.padding, (1, 1))
            mean = _shuffled_sum(windows.reshape(*windows.shape[:4], -1), generator) / dtype(prod(node.kernel))
            return mean if node.kind == "avg" else mean * dtype(prod(node.kernel))  # as torch's LPPool2d sums
        case _:
            return _apply(node, x)
    total = _shuffled_sum(terms, generator)
    return total if bias is None else total + bias.astype(dtype)


def _products(node: Conv, x: Array) -> Array:
    """All products of a convolution, [M, C_out, *out, terms]."""
    windows = layers._windows(x, node.kernel, node.stride, node.padding, node.dilation)
    axes, groups = len(node.kernel), node.groups
    samples, _, *out = windows.shape[: 2 + axes]
    grouped = windows.reshape(samples, groups, 1, -1, *windows.shape[2:])
    kernels = node.weight.astype(x.dtype).reshape(groups, -1, node.weight.shape[1], *(1,) * axes, *node.kernel)
    products = np.moveaxis(grouped * kernels, 3, 3 + axes)
    return products.reshape(samples, node.weight.shape[0], *out, -1)


def _shuffled_sum(terms: Array, generator: np.random.Generator) -> Array:
    order = generator.permutation(terms.shape[-1])
    return np.add.accumulate(terms[..., order], axis=-1, dtype=terms.dtype)[..., -1]
