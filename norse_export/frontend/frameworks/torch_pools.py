"""Pooling modules of torch.nn -> layers, and the check of axes that convolutions share with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import BATCH_AXIS, Call, Rule, pair, refused
from norse_export.frontend.windows import ADAPTIVE_FIX, adaptive_kernel, adaptive_message
from norse_export.ir.layers import Conv, Pool
from norse_export.ir.shaping import Elementwise

LIFT = "wrap the layer in norse.torch.Lift, so that it is applied at each time step"


def rules() -> dict[type, Rule]:
    """The table: module class -> rule."""
    from torch import nn

    return {
        nn.AvgPool1d: _avg_pool_of_one_axis,
        nn.AvgPool2d: _avg_pool,
        nn.MaxPool2d: _max_pool,
        nn.LPPool2d: _lp_pool,
        nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
        nn.AdaptiveMaxPool2d: _adaptive_max_pool,
    }


def check_spatial(call: Call, builder: Builder, axes: int) -> Value | None:
    """Convolutions and pooling take [batch, channels, *space]; another number of axes would be misread by torch."""
    if call.x.lead != call.lead:
        message = (
            f"{type(call.module).__name__} on a raster with a time axis: time would be taken for batch or channels"
        )
        return refused(call, builder, "time_axis", message, LIFT)
    if len(call.features) != axes + 1:
        message = f"{type(call.module).__name__} on features of shape {call.features}, {axes + 1} axes are needed"
        return refused(call, builder, "spatial_axes", message, f"give it [batch, channels, ...]; {BATCH_AXIS}")
    return None


def _pool(call: Call, builder: Builder, kind: Any, stride: Any = None, padding: Any = 0) -> Value:
    module = call.module
    if (value := check_spatial(call, builder, 2)) is not None:
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


def _avg_pool_of_one_axis(call: Call, builder: Builder) -> Value:
    """The sum of a window, a convolution of each channel by itself with ones, divided by the window's size."""
    module = call.module
    if (value := check_spatial(call, builder, 1)) is not None:
        return value
    (kernel,), (stride,), (padding,) = (pair(n, 1) for n in (module.kernel_size, module.stride, module.padding))
    if module.ceil_mode or (padding and not module.count_include_pad):
        message = "AvgPool1d with ceil_mode=True or count_include_pad=False: the divisor changes at the border"
        return refused(call, builder, "pool_padding", message, "use ceil_mode=False, count_include_pad=True")
    channels, dtype = call.features[0], call.x_dtype
    ones = np.ones((channels, 1, kernel), dtype)

    def make() -> Conv:
        return Conv(ones, call.features[1:], None, (stride,), (padding,), (1,), channels)

    total = builder.add(builder.unique(f"{call.path}.sum"), make, call.x.lead, (call.x, "x"))
    shape = tuple(call.result.shape[call.x.lead :])
    divisor = np.full(shape, kernel, dtype)
    return builder.add(
        call.path, lambda: Elementwise("quotient", shape, {"divisor": divisor}), call.x.lead, (total, "x")
    )


def _adaptive_avg_pool(call: Call, builder: Builder) -> Value:
    return _adaptive(call, builder, "avg")


def _adaptive_max_pool(call: Call, builder: Builder) -> Value:
    if call.module.return_indices:
        message = "AdaptiveMaxPool2d with return_indices"
        return refused(call, builder, "pool_adaptive", message, "use return_indices=False")
    return _adaptive(call, builder, "max")


def _adaptive(call: Call, builder: Builder, kind: Any) -> Value:
    if (value := check_spatial(call, builder, 2)) is not None:
        return value
    size, wanted = call.features[1:], call.module.output_size
    kernel = adaptive_kernel(size, wanted)
    if kernel is None:
        message = adaptive_message(type(call.module).__name__, size, wanted)
        return refused(call, builder, "pool_adaptive", message, ADAPTIVE_FIX)
    return builder.add(call.path, lambda: Pool(kind, call.features, kernel, kernel), call.x.lead, (call.x, "x"))
