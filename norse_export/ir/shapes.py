"""What nodes of several kinds share: one input port, a shape that they take or keep, and the checks of it."""

from __future__ import annotations

import math
from typing import ClassVar

from norse_export.errors import GraphError
from norse_export.ir.graph import Shape


class OnePort:
    """Mixin: one input port."""

    __slots__ = ()
    ports: ClassVar[tuple[str, ...]] = ("x",)


class TakesShape:
    """Mixin: takes values of its `shape`."""

    __slots__ = ()
    shape: Shape

    @property
    def input_shape(self) -> Shape:
        """Shape taken."""
        return self.shape


class KeepsShape(TakesShape):
    """Mixin: takes and sends values of its `shape`."""

    __slots__ = ()

    @property
    def output_shape(self) -> Shape:
        """Shape sent: the same."""
        return self.shape


def window_shape(size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    """How many places a window has along each spatial axis, with padding on both sides."""
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


def check_shape(shape: Shape, where: str) -> None:
    """Refuse a signal without values.

    Raises:
        GraphError: an axis has no cells.
    """
    if any(size < 1 for size in shape):
        raise GraphError(f"a signal of shape {shape} is empty", where=where, fix="remove the layer", kind="shape")


def check_dt(dt: float, where: str) -> None:
    """Refuse a time step that is none.

    Raises:
        GraphError: not a positive number of seconds.
    """
    if not 0 < dt < math.inf:
        raise GraphError(f"dt = {dt} s", where=where, fix="dt is a positive number of seconds", kind="dt")
