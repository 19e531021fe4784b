"""torch.nn modules -> layers. One rule a class; the class is matched exactly, never by inheritance."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from norse_export.errors import ExportError, UnsupportedError, locating
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks import torch_functions, torch_pools
from norse_export.frontend.frameworks.torch_pools import LIFT, check_spatial
from norse_export.frontend.leaf import Call, Rule, array, pair, refused, refused_axes
from norse_export.frontend.windows import pad_sides
from norse_export.ir.layers import Conv, Flatten, Linear
from norse_export.ir.shaping import Pad, Reorder

_EVAL = "call model.eval() before saving: a trained model is exported as it is used, not as it is trained"


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    from torch import nn

    return {
        nn.Linear: _linear,
        nn.Conv1d: _conv,
        nn.Conv2d: _conv,
        nn.Flatten: _flatten,
        nn.Unflatten: _unflatten,
        nn.ZeroPad2d: _zero_pad,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
        nn.Dropout: _elide,
        nn.Dropout1d: _elide,
        nn.Dropout2d: _elide,
        nn.Dropout3d: _elide,
        nn.AlphaDropout: _elide,
        nn.FeatureAlphaDropout: _elide,
        nn.Identity: _elide,
        **torch_pools.rules(),
        **torch_functions.rules(),
        **_of_norse(),
    }


def _of_norse() -> dict[type, Rule]:
    """Norse's layer without a state: a convolution of each step of a raster. Only where Norse is loaded."""
    loaded = sys.modules.get("norse.torch")
    return {} if loaded is None else {loaded.LConv2d: _conv_of_rasters}


def _linear(call: Call, builder: Builder) -> Value:
    module = call.module
    if len(call.features) != 1:
        return refused_axes(call, builder)
    bias = None if module.bias is None else call.array(module.bias)
    return builder.add(call.path, lambda: Linear(call.array(module.weight), bias), call.x.lead, (call.x, "x"))


def _conv(call: Call, builder: Builder) -> Value:
    module = call.module
    axes = module.weight.ndim - 2
    if (value := check_spatial(call, builder, axes)) is not None:
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


def _unflatten(call: Call, builder: Builder) -> Value:
    """One axis of features as several: the same cells in the same order."""
    axis = int(call.module.dim) % len(call.x_shape)
    if axis < call.x.lead:
        message = f"Unflatten of axis {call.module.dim} takes time or batch apart"
        return refused(call, builder, "flatten_axes", message, f"use dim={call.x.lead} or a later axis")
    order, shape = tuple(range(len(call.features))), tuple(call.result.shape[call.x.lead :])
    return builder.add(call.path, lambda: Reorder(call.features, order, shape), call.x.lead, (call.x, "x"))


def _conv_of_rasters(call: Call, builder: Builder) -> Value:
    """LConv2d: a Conv3d whose last kernel axis, time, is 1; without a bias."""
    module = call.module
    if (error := problem(module, call.path)) is not None:
        builder.note(error)
        return Value(None, 2)
    if call.x.lead != 2 or len(call.features) != 3:
        message = f"LConv2d is given {call.x_shape}: it takes rasters, [T, B, C, H, W]"
        return refused(call, builder, "time_axis", message, "use nn.Conv2d for a step, or save with time='inside'")
    if module.kernel_size[2] != 1 or tuple(call.result.shape[:2]) != call.x_shape[:2]:
        message = "LConv2d whose kernel, stride or padding along time is not that of single steps"
        return refused(call, builder, "conv_padding", message, "leave the last number of each as Norse sets it")

    def make() -> Conv:
        return Conv(
            weight=call.array(module.weight)[..., 0],
            bias=None,
            size=call.features[1:],
            stride=pair(module.stride[:2], 2),
            padding=pair(module.padding[:2], 2),
            dilation=pair(module.dilation[:2], 2),
            groups=int(module.groups),
        )

    return builder.add(call.path, make, 2, (call.x, "x"))


def problem(module: Any, path: str) -> ExportError | None:
    """Why a layer cannot be called, where what it raises does not say so: LConv2d takes a text letter by letter."""
    loaded, padding = sys.modules.get("norse.torch"), getattr(module, "padding", ())
    if loaded is None or type(module) is not loaded.LConv2d:
        return None
    if not isinstance(padding, str) and not any(isinstance(part, str) for part in padding):
        return None
    fix = "give it as numbers: of 'same', half of kernel_size - 1, for an odd kernel and a dilation of 1"
    return UnsupportedError("LConv2d with its padding as a text", where=path, fix=fix, kind="conv_padding")


def _zero_pad(call: Call, builder: Builder) -> Value:
    if call.x.lead != call.lead:
        return check_spatial(call, builder, 2) or Value(None, call.x.lead)
    sides = pad_sides(call.features, call.module.padding)
    if sides is None:
        message = f"ZeroPad2d with padding={call.module.padding} on features of shape {call.features}"
        return refused(call, builder, "zero_padding", message, "pad by 0 or more cells, along axes that there are")
    return builder.add(call.path, lambda: Pad(call.features, *sides), call.x.lead, (call.x, "x"))


def _elide(call: Call, builder: Builder) -> Value:
    if call.module.training and getattr(call.module, "p", 0.0) != 0.0:
        return refused(call, builder, "training", f"{type(call.module).__name__} in training mode is random", _EVAL)
    return call.x


def _batch_norm(call: Call, builder: Builder) -> Value:
    module, x = call.module, call.x
    name = type(module).__name__
    if module.training or module.running_mean is None:
        message = f"{name} would use the statistics of the batch"
        return refused(call, builder, "training", message, f"{_EVAL}; use track_running_stats=True")
    if x.lead != call.lead:
        return refused(call, builder, "time_axis", f"{name} on a raster with a time axis", LIFT)
    if x.node is None or x.silent:
        return x if x.silent else Value(None, x.lead)
    x = builder.settled(x)
    layer = None if x.node is None else builder.nodes[x.node]
    if not isinstance(layer, Linear | Conv) or builder.taken(x) or layer.folded is not None:
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
