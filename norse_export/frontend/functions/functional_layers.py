"""Functions of torch.nn.functional that are layers: pooling, weights, dropout."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.frontend.leaf import pair
from norse_export.ir.layers import Conv, Linear, Pool

Array = NDArray[Any]
_EVAL = "call model.eval() before saving: a trained model is exported as it is used, not as it is trained"


def _dropout(op: Operation) -> Value | None:
    given, found = op.given("p", "training", "inplace"), op.first()
    if found is None or given is None:
        return None
    value = found[1]
    if given.get("training", True) and given.get("p", 0.5) != 0:
        message = f"{op.function} in training mode is random"
        op.recording.builder.refuse("training", op.name, message, f"{_EVAL}, and pass training=self.training")
        return Value(None, value.lead)
    return value


def _pool(op: Operation, kind: str, *names: str) -> Value | None:
    given, found = op.given("kernel_size", "stride", "padding", *names), op.first()
    if given is None or found is None or found[1].lead != 1 or found[0].ndim != 4:
        return None
    x, value = found
    plain = {"dilation": 1, "ceil_mode": False, "return_indices": False, "divisor_override": None}
    if any(given.get(name, default) not in (default, (default, default)) for name, default in plain.items()):
        return None
    kernel, padding = pair(given["kernel_size"], 2), pair(given.get("padding", 0), 2)
    stride = given.get("stride") or kernel
    if kind == "avg" and not given.get("count_include_pad", True) and any(padding):
        return None
    shape = op.features(x, value)
    return op.add(lambda: Pool(kind, shape, kernel, pair(stride, 2), padding), value)  # type: ignore[arg-type]  # literal


def _max_pool(op: Operation) -> Value | None:
    return _pool(op, "max", "dilation", "ceil_mode", "return_indices")


def _avg_pool(op: Operation) -> Value | None:
    return _pool(op, "avg", "ceil_mode", "count_include_pad", "divisor_override")


def _weight(op: Operation, tensor: Any) -> Array | None:
    """A tensor of weights that is not traced."""
    if tensor is None or op.value(tensor) is not None or not isinstance(tensor, torch.Tensor):
        return None
    return op.recording.weights.array(tensor)


def _linear(op: Operation) -> Value | None:
    given, found = op.given("weight", "bias"), op.first()
    if given is None or found is None or len(op.features(*found)) != 1:
        return None
    value = found[1]
    weight, bias = _weight(op, given.get("weight")), _weight(op, given.get("bias"))
    if weight is None or (bias is None) != (given.get("bias") is None):
        return None
    return op.add(lambda: Linear(weight, bias), value)


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


LAYERS: dict[str, Rule] = {
    **dict.fromkeys(("dropout", "dropout2d", "feature_dropout"), _dropout),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "boolean_dispatch"), _max_pool),
    "avg_pool2d": _avg_pool,
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d"), _conv),
}
