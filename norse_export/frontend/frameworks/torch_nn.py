"""torch.nn modules -> layers. One rule a class; the class is matched exactly, never by inheritance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from norse_export.errors import ExportError, locating
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import BATCH_AXIS, Call, Rule, array, pair, refused, refused_axes
from norse_export.ir.layers import Conv, Flatten, Linear, Pool
from norse_export.ir.shaping import Elementwise

_LIFT = "wrap the layer in norse.torch.Lift, so that it is applied at each time step"
_EVAL = "call model.eval() before saving: a trained model is exported as it is used, not as it is trained"


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    from torch import nn

    return {
        nn.Linear: _linear,
        nn.Conv1d: _conv,
        nn.Conv2d: _conv,
        nn.Flatten: _flatten,
        nn.AvgPool2d: _avg_pool,
        nn.MaxPool2d: _max_pool,
        nn.LPPool2d: _lp_pool,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
        nn.Dropout: _elide,
        nn.Dropout2d: _elide,
        nn.Identity: _elide,
        nn.ReLU: _relu,
    }


def _linear(call: Call, builder: Builder) -> Value:
    module = call.module
    if len(call.features) != 1:
        return refused_axes(call, builder)
    bias = None if module.bias is None else call.array(module.bias)
    return builder.add(call.path, lambda: Linear(call.array(module.weight), bias), call.x.lead, (call.x, "x"))


def _conv(call: Call, builder: Builder) -> Value:
    module = call.module
    axes = module.weight.ndim - 2
    if (value := _check_spatial(call, builder, axes)) is not None:
        return value
    if module.padding_mode != "zeros":
        message = f"padding_mode={module.padding_mode!r}"
        return refused(call, builder, "conv_padding", message, "use padding_mode='zeros'")
    stride, dilation = pair(module.stride, axes), pair(module.dilation, axes)
    reach = [d * (k - 1) for d, k in zip(dilation, module.kernel_size, strict=True)]
    if module.padding == "same":
        if any(r % 2 for r in reach):
            message = "padding='same' with an even kernel pads its two sides unequally"
            return refused(call, builder, "conv_padding", message, "use an odd kernel, or give the padding as numbers")
        padding = tuple(r // 2 for r in reach)
    else:
        padding = (0,) * axes if module.padding == "valid" else pair(module.padding, axes)

    def make() -> Conv:
        return Conv(
            weight=call.array(module.weight),
            bias=None if module.bias is None else call.array(module.bias),
            size=call.features[1:],
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=int(module.groups),
        )

    return builder.add(call.path, make, call.x.lead, (call.x, "x"))


def _flatten(call: Call, builder: Builder) -> Value:
    return flatten(call.path, call.x, call.x_shape, (call.module.start_dim, call.module.end_dim), builder)


def flatten(name: str, x: Value, shape: tuple[int, ...], axes: tuple[int, int], builder: Builder) -> Value:
    """Add a Flatten; `axes` are torch's start_dim and end_dim, counted with time and batch."""
    first, last = (axis % len(shape) for axis in axes)
    if first < x.lead:
        lead = "time or batch" if x.lead == 2 else "batch"
        message = f"Flatten from axis {axes[0]} to {axes[1]} joins {lead} with other axes"
        builder.refuse("flatten_axes", name, message, f"use start_dim={x.lead}")
        return Value(None, 0)
    make = lambda: Flatten(shape[x.lead :], first - x.lead, last - x.lead)  # noqa: E731
    return builder.add(name, make, x.lead, (x, "x"))


def _check_spatial(call: Call, builder: Builder, axes: int) -> Value | None:
    """Convolutions and pooling take [batch, channels, *space]; another number of axes would be misread by torch."""
    if call.x.lead != 1:
        message = (
            f"{type(call.module).__name__} on a raster with a time axis: time would be taken for batch or channels"
        )
        return refused(call, builder, "time_axis", message, _LIFT)
    if len(call.features) != axes + 1:
        message = f"{type(call.module).__name__} on features of shape {call.features}, {axes + 1} axes are needed"
        return refused(call, builder, "spatial_axes", message, f"give it [batch, channels, ...]; {BATCH_AXIS}")
    return None


def _pool(call: Call, builder: Builder, kind: Any, stride: Any = None, padding: Any = 0) -> Value:
    module = call.module
    if (value := _check_spatial(call, builder, 2)) is not None:
        return value
    if module.ceil_mode:
        return refused(call, builder, "pool_ceil", "ceil_mode=True", "use ceil_mode=False")

    def make() -> Pool:
        kernel = pair(module.kernel_size, 2)
        return Pool(kind, call.features, kernel, kernel if stride is None else pair(stride, 2), pair(padding, 2))

    return builder.add(call.path, make, call.x.lead, (call.x, "x"))


def _avg_pool(call: Call, builder: Builder) -> Value:
    module = call.module
    if module.divisor_override is not None:
        return refused(call, builder, "pool_divisor", "divisor_override is set", "use the window's own size")
    if not module.count_include_pad and any(pair(module.padding, 2)):
        message = "count_include_pad=False with padding: the divisor changes at the border"
        return refused(call, builder, "pool_padding", message, "use count_include_pad=True or padding=0")
    return _pool(call, builder, "avg", module.stride, module.padding)


def _max_pool(call: Call, builder: Builder) -> Value:
    module = call.module
    if pair(module.dilation, 2) != (1, 1) or module.return_indices:
        message = "MaxPool2d with dilation or return_indices"
        return refused(call, builder, "pool_dilation", message, "use dilation=1, return_indices=False")
    return _pool(call, builder, "max", module.stride, module.padding)


def _lp_pool(call: Call, builder: Builder) -> Value:
    if call.module.norm_type != 1:
        message = f"LPPool2d with norm_type={call.module.norm_type}"
        return refused(call, builder, "pool_norm", message, "use norm_type=1, which sums the window")
    return _pool(call, builder, "sum", call.module.stride)


def _elide(call: Call, builder: Builder) -> Value:
    if call.module.training and getattr(call.module, "p", 0.0) != 0.0:
        return refused(call, builder, "training", f"{type(call.module).__name__} in training mode is random", _EVAL)
    return call.x


def _relu(call: Call, builder: Builder) -> Value:
    if call.module.inplace:
        return refused(call, builder, "in_place", "ReLU with inplace=True changes what others may use", "use nn.ReLU()")
    return builder.add(call.path, lambda: Elementwise("relu", call.features), call.x.lead, (call.x, "x"))


def _batch_norm(call: Call, builder: Builder) -> Value:
    module, x = call.module, call.x
    name = type(module).__name__
    if module.training or module.running_mean is None:
        message = f"{name} would use the statistics of the batch"
        return refused(call, builder, "training", message, f"{_EVAL}; use track_running_stats=True")
    if x.lead != 1:
        return refused(call, builder, "time_axis", f"{name} on a raster with a time axis", _LIFT)
    if x.node is None:
        return Value(None, x.lead)
    layer = builder.nodes[x.node]
    if not isinstance(layer, Linear | Conv) or x.node in builder.consumed or layer.folded is not None:
        message = f"{name} is folded into the Linear or Conv layer before it; here there is none that only it takes"
        return refused(call, builder, "batch_norm", message, "put it right behind a Linear or Conv layer, alone")
    try:
        with locating(call.path):
            arrays = call.weights.once((x.node, id(module)), lambda: _folded(layer, module))
            return builder.replace(x, replace(layer, **arrays))
    except ExportError as error:
        builder.note(error)
        return Value(None, x.lead)


def fold(layer: Linear | Conv, module: Any) -> Linear | Conv:
    """Give the layer with a batch normalisation (evaluation mode) behind it folded in; computed in float64.

    Raises:
        GraphError: the result is not finite, as where a variance plus eps is not above 0.
    """
    return replace(layer, **_folded(layer, module))


def _folded(layer: Linear | Conv, module: Any) -> dict[str, Any]:
    mean, variance = (array(t).astype(np.float64) for t in (module.running_mean, module.running_var))
    gamma = np.ones_like(mean) if module.weight is None else array(module.weight).astype(np.float64)
    shift = np.zeros_like(mean) if module.bias is None else array(module.bias).astype(np.float64)
    bias = np.zeros_like(mean) if layer.bias is None else layer.bias.astype(np.float64)
    dtype = layer.weight.dtype
    weight = np.empty_like(layer.weight)
    with np.errstate(all="ignore"):  # what is not finite is refused by the layer
        scale = gamma / np.sqrt(variance + module.eps)
        rows = scale.reshape(-1, *(1,) * (weight.ndim - 1))
        np.multiply(layer.weight, rows, out=weight, casting="same_kind")  # in float64, rounded once, without a copy
        return {
            "weight": weight,
            "bias": ((bias - mean) * scale + shift).astype(dtype),
            "folded": (np.abs(bias * scale) + np.abs(mean * scale) + np.abs(shift)).astype(dtype),
        }
