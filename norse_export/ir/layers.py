"""Nodes without a state: what stands between populations of neurons. The same in the continuous and discrete graph.

All shapes are those of one sample of one step: without time and batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, checked
from norse_export.ir.graph import Shape
from norse_export.ir.shapes import KeepsShape, OnePort, TakesShape, check_shape, window_shape
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice


@dataclass(frozen=True, slots=True, eq=False)
class Input(KeepsShape):
    """Where a raster enters; `dtype` is the float type in which the model computes."""

    shape: Shape
    dtype: Literal["float32", "float64"] = "float32"
    ports: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_shape(self.shape, "Input")
        if self.dtype not in ("float32", "float64"):
            raise GraphError(f"dtype {self.dtype}", where="Input", fix="use float32 or float64", kind="dtype")


@dataclass(frozen=True, slots=True, eq=False)
class _Shaped(OnePort, KeepsShape):
    """A node that keeps the shape."""

    shape: Shape

    def __post_init__(self) -> None:
        check_shape(self.shape, type(self).__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Output(_Shaped):
    """Where a result leaves."""


@dataclass(frozen=True, slots=True, eq=False)
class Sum(_Shaped):
    """An addition: the edges that arrive are summed in their order. A residual connection ends in one."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale(OnePort):
    """y = scale * x, elementwise; scale has the feature shape."""

    scale: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", checked(self.scale, where="Scale", field="scale"))

    @property
    def input_shape(self) -> Shape:
        """Shape taken."""
        return self.scale.shape

    @property
    def output_shape(self) -> Shape:
        """Shape sent: the same."""
        return self.scale.shape


@dataclass(frozen=True, slots=True, eq=False)
class Linear(OnePort):
    """y = W x + b. weight [N_out, N_in]; bias [N_out] or None.

    `folded` [N_out] is set where a batch normalisation was folded in: the sum of the magnitudes of the terms that the
    bias was made of, at least |bias|. The model adds those terms one by one, so their sum, not the bias, bounds its
    rounding (used by the margin rule).
    """

    weight: FloatArray
    bias: FloatArray | None = None
    folded: FloatArray | None = None

    def __post_init__(self) -> None:
        _check_weights(self, "Linear", ndim=2)

    @property
    def input_shape(self) -> Shape:
        """(N_in,)."""
        return (self.weight.shape[1],)

    @property
    def output_shape(self) -> Shape:
        """(N_out,)."""
        return (self.weight.shape[0],)


@dataclass(frozen=True, slots=True, eq=False)
class Conv(OnePort):
    """Cross-correlation over one or two spatial axes, zero padding, as torch.nn.Conv1d and Conv2d compute it.

    weight [C_out, C_in / groups, *kernel]; bias [C_out] or None; stride, padding (both sides), dilation: one number
    for each spatial axis; size: the spatial shape of the input. `folded`: see Linear.
    """

    weight: FloatArray
    size: Shape
    bias: FloatArray | None = None
    stride: Shape = (1, 1)
    padding: Shape = (0, 0)
    dilation: Shape = (1, 1)
    groups: int = 1
    folded: FloatArray | None = None

    def __post_init__(self) -> None:
        axes = len(self.size)
        if axes not in (1, 2):
            raise GraphError(f"a convolution over {axes} axes", where="Conv", fix="use Conv1d or Conv2d", kind="shape")
        check_shape(self.size, "Conv")
        _check_weights(self, "Conv", ndim=axes + 2)
        _check_window(self, "conv", {"stride": self.stride, "dilation": self.dilation}, self.padding, axes)
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise GraphError(
                f"conv groups = {self.groups} does not divide {self.weight.shape[0]} output channels",
                where="Conv",
                fix="use a number of groups that divides both channel counts",
                kind="conv_groups",
            )
        _check_output(self.output_shape, "Conv")

    @property
    def kernel(self) -> Shape:
        """Spatial shape of the kernel."""
        return self.weight.shape[2:]

    @property
    def input_shape(self) -> Shape:
        """(C_in, *size)."""
        return (self.weight.shape[1] * self.groups, *self.size)

    @property
    def output_shape(self) -> Shape:
        """(C_out, *out): out = (size + 2 padding - dilation (kernel - 1) - 1) // stride + 1."""
        window = window_shape(self.size, self.kernel, self.stride, self.padding, self.dilation)
        return (self.weight.shape[0], *window)


@dataclass(frozen=True, slots=True, eq=False)
class Pool(OnePort, TakesShape):
    """Pooling over two spatial axes; shape (C, H, W).

    `avg` divides the sum by the size of the window, padding included; `max` takes padding for -infinity.
    """

    kind: Literal["avg", "sum", "max"]
    shape: Shape
    kernel: Shape
    stride: Shape
    padding: Shape = (0, 0)

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise GraphError(
                f"pooling needs (channels, height, width), got {self.shape}",
                where="Pool",
                fix="pool 2-D maps",
                kind="shape",
            )
        check_shape(self.shape, "Pool")
        if self.kind not in ("avg", "sum", "max"):
            raise GraphError(
                f"pooling of kind {self.kind!r}", where="Pool", fix="use avg, sum or max", kind="pool_kind"
            )
        _check_window(self, "pool", {"stride": self.stride, "kernel": self.kernel}, self.padding, 2)
        halves = tuple(size // 2 for size in self.kernel)
        if self.kind == "max" and any(p > half for p, half in zip(self.padding, halves, strict=True)):
            raise GraphError(
                f"pool padding = {self.padding} is more than half of the kernel {self.kernel}",
                where="Pool",
                fix="use a padding of at most half the kernel, so that no window is all padding",
                kind="pool_padding",
            )
        _check_output(self.output_shape, "Pool")

    @property
    def output_shape(self) -> Shape:
        """(C, H_out, W_out)."""
        return (self.shape[0], *window_shape(self.shape[1:], self.kernel, self.stride, self.padding, (1, 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Flatten(OnePort, TakesShape):
    """Joins the feature axes start..end (both included, counted without time and batch) into one, in C order."""

    shape: Shape
    start: int = 0
    end: int = -1

    def __post_init__(self) -> None:
        check_shape(self.shape, "Flatten")
        first, last = self.axes
        if not 0 <= first <= last < len(self.shape):
            raise GraphError(
                f"flatten from axis {self.start} to {self.end} of shape {self.shape}",
                where="Flatten",
                fix="flatten feature axes only",
                kind="shape",
            )

    @property
    def axes(self) -> tuple[int, int]:
        """First and last joined axis, both counted from 0."""
        rank = len(self.shape)
        return (self.start + rank if self.start < 0 else self.start, self.end + rank if self.end < 0 else self.end)

    @property
    def output_shape(self) -> Shape:
        """Shape sent."""
        first, last = self.axes
        return (*self.shape[:first], math.prod(self.shape[first : last + 1]), *self.shape[last + 1 :])


Layer = Input | Output | Sum | Scale | Linear | Conv | Pool | Flatten | Elementwise | Slice | Pad | Reorder


def _check_weights(node: Linear | Conv, where: str, *, ndim: int) -> None:
    object.__setattr__(node, "weight", checked(node.weight, where=where, field="weight", ndim=ndim))
    for field in ("bias", "folded"):
        value = getattr(node, field)
        if value is None:
            continue
        value = checked(value, where=where, field=field, ndim=1)
        if value.shape[0] != node.weight.shape[0]:
            raise GraphError(
                f"shape mismatch: {field} has {value.shape[0]} values, weight gives {node.weight.shape[0]} outputs",
                where=where,
                fix="give one value for each output",
                kind="shape",
            )
        object.__setattr__(node, field, value)


def _check_window(node: object, kind: str, positive: dict[str, Shape], padding: Shape, axes: int) -> None:
    for field, values in positive.items():
        if len(values) != axes or any(value < 1 for value in values):
            raise GraphError(
                f"{kind} {field} = {values}: {axes} numbers of at least 1 are needed",
                where=type(node).__name__,
                fix=f"use a {field} of 1 or more",
                kind=f"{kind}_{field}",
            )
    if len(padding) != axes or any(value < 0 for value in padding):
        raise GraphError(
            f"{kind} padding = {padding}: {axes} numbers of at least 0 are needed",
            where=type(node).__name__,
            fix="use a padding of 0 or more",
            kind=f"{kind}_padding",
        )


def _check_output(shape: Shape, where: str) -> None:
    if any(size < 1 for size in shape):
        raise GraphError(
            f"shape mismatch: the output would have shape {shape}",
            where=where,
            fix="the kernel is larger than the padded input: use a smaller kernel or a larger input",
            kind="shape",
        )
