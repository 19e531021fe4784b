"""Products with a constant matrix: layers of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.frontend.leaf import pair
from norse_export.ir.layers import Conv, Linear

Array = NDArray[Any]


def _weight(op: Operation, tensor: Any, *, ndim: int | None = None) -> Array | None:
    """A tensor of weights that is not traced."""
    if tensor is None or op.value(tensor) is not None or not isinstance(tensor, torch.Tensor):
        return None
    return None if ndim not in (None, tensor.ndim) else op.recording.weights.array(tensor)


def _linear(op: Operation) -> Value | None:
    given, found = op.given("weight", "bias"), op.first()
    if given is None or found is None:
        return None
    weight, bias = _weight(op, given.get("weight"), ndim=2), _weight(op, given.get("bias"), ndim=1)
    return None if (bias is None) != (given.get("bias") is None) else _layer(op, *found, weight, bias)


def _layer(op: Operation, x: Any, value: Value, weight: Array | None, bias: Array | None = None) -> Value | None:
    """weight [N_out, N_in]."""
    if weight is None or len(op.features(x, value)) != 1:
        return None
    return op.add(lambda: Linear(weight, bias), value)


def _matmul(op: Operation) -> Value | None:
    """x @ W, W [N_in, N_out]."""
    given, found = op.given("other", "mat2"), op.first()
    if given is None or found is None or len(given) != 1:
        return None
    weight = _weight(op, next(iter(given.values())), ndim=2)
    return None if weight is None else _layer(op, *found, np.ascontiguousarray(weight.T))


def _addmm(op: Operation) -> Value | None:
    """torch.addmm(bias, x, W), W [N_in, N_out]."""
    if len(op.args) != 3 or op.kwargs:
        return None
    bias, x, weight = _weight(op, op.args[0], ndim=1), op.args[1], _weight(op, op.args[2], ndim=2)
    value = op.value(x)
    if bias is None or weight is None or value is None or bias.shape != weight.shape[1:]:
        return None
    return _layer(op, x, value, np.ascontiguousarray(weight.T), bias)


def _conv(op: Operation) -> Value | None:
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given, found = op.given(*names), op.first()
    if given is None or found is None or found[1].lead != 1 or isinstance(given.get("padding", 0), str):
        return None
    x, value = found
    weight, bias = _weight(op, given.get("weight")), _weight(op, given.get("bias"))
    features, axes = op.features(x, value), len(x.shape) - 2
    if weight is None or (bias is None) != (given.get("bias") is None) or weight.ndim != axes + 2:
        return None
    stride, padding, dilation = (
        pair(given.get(name, plain), axes) for name, plain in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    groups = int(given.get("groups", 1))
    return op.add(lambda: Conv(weight, features[1:], bias, stride, padding, dilation, groups), value)


WEIGHTS: dict[str, Rule] = {
    "linear": _linear,
    **dict.fromkeys(("matmul", "__matmul__", "mm"), _matmul),
    "addmm": _addmm,
    **dict.fromkeys(("conv1d", "conv2d"), _conv),
}
