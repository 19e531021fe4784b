"""Windows over spatial axes as gathered columns: exact in every type, also where a runtime has no Conv of it.

Columns, because no Transpose may stand before their product: onnxruntime 1.18 to 1.22 fuse the two, by default, into an
operator that they do not have in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.graph import Shape
from norse_export.ir.shapes import window_shape

Cells = NDArray[np.int64]


class Gathers(Protocol):
    """What windows are written into; see step.StepGraph."""

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add one node; gives the name of what it makes."""

    def constant(self, field: str, value: NDArray[Any]) -> str:
        """Add an initializer of the module, and give its name."""

    def between(self, what: str) -> str:
        """A name for a value inside the module."""


def window_cells(
    shape: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape | None = None, groups: int = 1
) -> Cells:
    """For each group and window the cells of an input (C, *size) that it holds, in C order: [groups, K, P].

    K: channels of a group times cells of the kernel. prod(shape) stands for a cell of the padding.
    """
    channels, *size = shape
    dilation = dilation or (1,) * len(size)
    padded = np.full((channels, *(n + 2 * p for n, p in zip(size, padding, strict=True))), prod(shape), np.int64)
    inside = tuple(slice(p, p + n) for n, p in zip(size, padding, strict=True))
    padded[(slice(None), *inside)] = np.arange(prod(shape)).reshape(shape)
    out = window_shape(tuple(size), kernel, stride, padding, dilation)
    pieces = [
        padded[
            (
                slice(None),
                *(
                    slice(k * d, k * d + (o - 1) * s + 1, s)
                    for k, d, o, s in zip(tap, dilation, out, stride, strict=True)
                ),
            )
        ]
        for tap in product(*map(range, kernel))
    ]
    found = np.stack(pieces, axis=-1).reshape(groups, channels // groups, prod(out), len(pieces))
    return np.ascontiguousarray(np.moveaxis(found, 3, 2)).reshape(groups, -1, prod(out))


def window_count(shape: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape | None = None) -> int:
    """How many cells of an input (C, *size) all windows hold together, over all its channels."""
    out = window_shape(shape[1:], kernel, stride, padding, dilation or (1,) * len(kernel))
    return prod(out) * prod(kernel) * shape[0]


def gathered(x: str, cells: int, windows: Cells, graph: Gathers) -> str:
    """What stands in each window, [B, groups, K, P], for x [B, ...] of so many cells."""
    rows = graph.add("Reshape", (x, graph.constant("rows", np.array([-1, cells], np.int64))), graph.between("flat"))
    pads = graph.constant("pads", np.array([0, 0, 0, 1], np.int64))  # the zero of the padding, behind the last cell
    padded = graph.add("Pad", (rows, pads), graph.between("padded"))
    return graph.add("Gather", (padded, graph.constant("windows", windows)), graph.between("gathered"), axis=1)


def products(windows: str, weight: str, kernels: Shape, graph: Gathers) -> str:
    """Each kernel times each window, [B, groups, C_out / groups, P]. kernels: (groups, C_out / groups, K)."""
    shape = graph.constant("kernels", np.array([1, *kernels], np.int64))
    rows = graph.add("Reshape", (weight, shape), graph.between("kernel_rows"))
    return graph.add("MatMul", (rows, windows), graph.between("products"))


def shaped(x: str, shape: Shape, name: str, graph: Gathers) -> str:
    """x as [B, *shape], under a name."""
    return graph.add("Reshape", (x, graph.constant("shape", np.array([-1, *shape], np.int64))), name)
