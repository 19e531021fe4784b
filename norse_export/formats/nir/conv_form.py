"""Convolutions in an exactly equal form whose sizes `nir.read` with type check judges rightly; and back.

nir 1.0.8 takes the height of a kernel for its width too, and the second axis of the weight for the number of input
channels. So kernels are made square with taps of zero, and groups become a block-diagonal kernel:

    more taps    a kernel with e more taps, a of them in front, needs a padding larger by dilation * a. The output keeps
                 its size where the stride absorbs the surplus dilation * (2a - e); always where e is even.
    finer taps   a kernel of dilation d is one of dilation d / t whose taps are t apart.
    crop         with stride 1, an even kernel on one axis and an odd one on the other, no square kernel gives the size.
                 Then it gives some rows and columns too many at the end, and a second convolution, with a single tap of
                 1 for each channel, takes the first ones.

Source: nir 1.0.8, nir/ir/conv.py and nir/ir/utils.py (calculate_conv_output).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv

# An equal form may be far larger: a kernel of 1 x 30,000 becomes one of 30,000 x 30,000, groups multiply the weight. It
# is refused where both are exceeded: a large model may be written as it is, a small one may grow.
MAX_WRITTEN_NUMBERS = 2**26  # in the written kernel and its crop: 256 MiB of float32
MAX_GROWTH = 16  # times the numbers of the original
_CROP_KERNEL = 2


@dataclass(frozen=True, slots=True)
class WrittenConv:
    """A convolution as it is written, the crop behind it if there is one, and what gives the original back."""

    conv: Conv
    crop: Conv | None = None
    original: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial axis. Of its taps, those of the original are number `first`, `first + step`, ..."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    first: int = 0
    step: int = 1

    @property
    def rest(self) -> int:
        """How far the window can move."""
        return self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1

    @property
    def out(self) -> int:
        """Size of the output."""
        return self.rest // self.stride + 1


def written_numbers(conv: Conv) -> int:
    """How many numbers `written_form` writes as kernels; nothing of them is made."""
    made = _plan(conv)
    if made is None:
        return conv.weight.size
    kernel, crop = _written_shapes(conv, made)
    return prod(kernel) + (prod(crop) if crop else 0)


def too_large(conv: Conv) -> bool:
    """Whether the written form is out of all proportion."""
    return written_numbers(conv) > max(MAX_WRITTEN_NUMBERS, MAX_GROWTH * conv.weight.size)


def written_form(conv: Conv) -> WrittenConv:
    """Give an exactly equal form that `nir.read` judges rightly: the convolution itself where it does.

    It may be `too_large`: whoever has not asked before allocates it.
    """
    made = _plan(conv)
    if made is None:
        return WrittenConv(conv)
    written = _conv(conv, made)
    surplus = _surplus(conv, made)
    original = {
        "kernel": list(conv.kernel),
        "stride": list(conv.stride),
        "padding": list(conv.padding),
        "dilation": list(conv.dilation),
        "groups": conv.groups,
        "first": [axis.first for axis in made],
        "step": [axis.step for axis in made],
    }
    return WrittenConv(written, _crop(written, surplus) if any(surplus) else None, original)


def original_form(written: Conv, crop: Conv | None, original: object) -> Conv | None:
    """Give back the convolution that `written_form` was given; None if this is not what `written_form` makes of any."""
    fields = _checked(original, len(written.size), written.weight.shape)
    if fields is None:
        return None
    taps = (slice(f, f + s * k, s) for f, s, k in zip(fields["first"], fields["step"], fields["kernel"], strict=True))
    weight = _unblocked(written.weight, fields["groups"][0])[(slice(None), slice(None), *taps)]
    if weight.shape[2:] != fields["kernel"]:
        return None
    try:
        conv = replace(
            written,
            weight=np.ascontiguousarray(weight),
            stride=fields["stride"],
            padding=fields["padding"],
            dilation=fields["dilation"],
            groups=fields["groups"][0],
        )
    except GraphError:
        return None
    made = _plan(conv)
    there = (written.weight.shape, crop.weight.shape if crop else None)
    if made is None or _written_shapes(conv, made) != there:  # before anything is allocated
        return None
    again = written_form(conv)
    return conv if _same(again.conv, written) and _same(again.crop, crop) else None


def _plan(conv: Conv) -> tuple[_Axis, ...] | None:
    """Axes of the kernel to write; None where the convolution can be written as it is."""
    axes = _axes(conv)
    if any(replace(axis, kernel=conv.kernel[0]).out != axis.out for axis in axes):
        return _squared(axes) or _enlarged(axes)
    return axes if conv.groups > 1 else None


def _surplus(conv: Conv, made: tuple[_Axis, ...]) -> Shape:
    """How many values too many each axis of the written convolution gives."""
    return tuple(more.out - axis.out for more, axis in zip(made, _axes(conv), strict=True))


def _written_shapes(conv: Conv, made: tuple[_Axis, ...]) -> tuple[Shape, Shape | None]:
    """Shapes of the weights of the written convolution and of its crop, if it needs one."""
    outputs, inputs = conv.weight.shape[:2]
    kernel = (outputs, inputs * conv.groups, *(axis.kernel for axis in made))
    crop = (outputs, outputs, *(_CROP_KERNEL,) * len(made))
    return kernel, crop if any(_surplus(conv, made)) else None


def _axes(conv: Conv) -> tuple[_Axis, ...]:
    return tuple(
        _Axis(*numbers)
        for numbers in zip(conv.size, conv.kernel, conv.stride, conv.padding, conv.dilation, strict=True)
    )


def _squared(axes: tuple[_Axis, ...]) -> tuple[_Axis, ...] | None:
    """Give all axes the same number of taps, the smallest for which each keeps the size of its output."""
    largest = max(axis.kernel for axis in axes)
    for kernel in range(largest, 2 * largest + 1):  # with half the dilation every kernel is odd
        made = [next(_with_taps(axis, kernel), None) for axis in axes]
        found = tuple(axis for axis in made if axis is not None)
        if len(found) == len(axes):
            return found
    return None


def _with_taps(axis: _Axis, kernel: int) -> Iterator[_Axis]:
    """Forms of an axis with `kernel` taps and the same output, the one most like the original first."""
    for dilation, step in _refinements(axis, kernel):
        surplus = kernel - (step * (axis.kernel - 1) + 1)
        for first in dict.fromkeys((surplus // 2, (surplus + 1) // 2)):
            more = replace(
                axis,
                kernel=kernel,
                padding=axis.padding + dilation * first,
                dilation=dilation,
                first=first,
                step=step,
            )
            if axis.out == 1:  # a single window: the stride means nothing
                more = replace(more, stride=max(axis.stride, more.rest + 1))
            if more.rest >= 0 and more.out == axis.out:
                yield more


def _refinements(axis: _Axis, kernel: int) -> Iterator[tuple[int, int]]:
    """Dilations that give the same taps with at most `kernel` of them, and how far apart the original's then are."""
    if axis.kernel == 1:
        yield from dict.fromkeys(((axis.dilation, 1), (1, 1)))
        return
    for step in range(1, min(axis.dilation, (kernel - 1) // (axis.kernel - 1)) + 1):
        if axis.dilation % step == 0:
            yield axis.dilation // step, step


def _enlarged(axes: tuple[_Axis, ...]) -> tuple[_Axis, ...]:
    """Give all axes the same number of taps and a larger output, whose first values are the original's.

    Where no square kernel keeps the sizes, dilation * 2 > stride on both axes, so that two taps more are enough.
    """
    kernel = max(axis.kernel for axis in axes)
    while True:
        kernel += 1
        made = [next(_with_more_output(axis, kernel), None) for axis in axes]
        found = tuple(axis for axis in made if axis is not None)
        if len(found) == len(axes):
            return found


def _with_more_output(axis: _Axis, kernel: int) -> Iterator[_Axis]:
    for first in range(kernel - axis.kernel + 1):
        more = replace(axis, kernel=kernel, padding=axis.padding + axis.dilation * first, first=first)
        if more.out > axis.out:
            yield more


def _crop(conv: Conv, surplus: Shape) -> Conv:
    """A convolution that drops the last `surplus` values on each axis: two taps `surplus` apart, the second one 0."""
    channels, *size = conv.output_shape
    weight = np.zeros((channels, channels, *(_CROP_KERNEL,) * len(size)), conv.weight.dtype)
    for channel in range(channels):
        weight[(channel, channel, *(0,) * len(size))] = 1
    return Conv(weight, tuple(size), dilation=surplus)


def _conv(conv: Conv, axes: tuple[_Axis, ...]) -> Conv:
    """Write the taps of a convolution into kernels of other axes, and its groups into one block-diagonal kernel."""
    kernel = tuple(axis.kernel for axis in axes)
    taps = tuple(slice(a.first, a.first + a.step * k, a.step) for a, k in zip(axes, conv.kernel, strict=True))
    inputs, outputs = conv.weight.shape[1], conv.weight.shape[0] // conv.groups
    weight = np.zeros((conv.weight.shape[0], inputs * conv.groups, *kernel), conv.weight.dtype)
    for group in range(conv.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        weight[(rows, slice(group * inputs, (group + 1) * inputs), *taps)] = conv.weight[rows]
    return replace(
        conv,
        weight=weight,
        stride=tuple(axis.stride for axis in axes),
        padding=tuple(axis.padding for axis in axes),
        dilation=tuple(axis.dilation for axis in axes),
        groups=1,
    )


def _unblocked(weight: FloatArray, groups: int) -> FloatArray:
    inputs, outputs = weight.shape[1] // groups, weight.shape[0] // groups
    blocks = [weight[g * outputs : (g + 1) * outputs, g * inputs : (g + 1) * inputs] for g in range(groups)]
    return blocks[0] if groups == 1 else np.concatenate(blocks)


def _checked(original: object, axes: int, weight: Shape) -> dict[str, Shape] | None:
    """The numbers of an `original` out of a file; None where they are none, or cannot belong to the weight."""
    names = ("kernel", "stride", "padding", "dilation", "first", "step")
    if not isinstance(original, dict) or set(original) != {*names, "groups"}:
        return None
    fields = {name: original[name] for name in names} | {"groups": [original["groups"]]}
    if not all(isinstance(values, list) and all(type(k) is int for k in values) for values in fields.values()):
        return None
    if any(len(fields[name]) != axes for name in names) or any(k < 0 for values in fields.values() for k in values):
        return None
    groups = fields["groups"][0]
    if groups < 1 or weight[0] % groups or weight[1] % groups or min(*fields["step"], *fields["kernel"]) < 1:
        return None
    if any(k > n for name in ("kernel", "first", "step") for k, n in zip(fields[name], weight[2:], strict=True)):
        return None
    return {name: tuple(values) for name, values in fields.items()}


def _same(a: Conv | None, b: Conv | None) -> bool:
    if a is None or b is None:
        return a is b
    fields = ("size", "stride", "padding", "dilation", "groups")
    alike = all(getattr(a, field) == getattr(b, field) for field in fields) and a.weight.dtype == b.weight.dtype
    return alike and np.array_equal(a.weight, b.weight)
