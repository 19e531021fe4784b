"""Sums, means and maxima over axes of features. What goes over time is a readout, and not here."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.functional_parts import stacked_sum
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Flatten, Linear, Pool

MOST_WEIGHTS = 2**22  # of the matrix that adds features up


def _axes(op: Operation) -> tuple[Any, Value, tuple[int, ...]] | None:
    """The tensor, what it stands for, and the axes of features; None where others are meant, or axes are kept."""
    given, found = op.given("dim", "keepdim"), op.first()
    if given is None or found is None or found[1].lead == 0 or "dim" not in given:
        return None
    x, value = found
    dims = given["dim"] if isinstance(given["dim"], tuple | list) else (given["dim"],)
    if not dims or not all(isinstance(dim, int) and not isinstance(dim, bool) for dim in dims):
        return None
    axes = tuple(sorted(dim % x.ndim - value.lead for dim in dims))
    kept = given.get("keepdim", False) and len(op.features(x, value)) != 1
    return None if axes[0] < 0 or kept else (x, value, axes)


def _total(op: Operation) -> Value | None:
    """A layer whose weights are 1 where a cell belongs to a sum."""
    found = _axes(op)
    if found is None:
        return None
    x, value, axes = found
    shape = op.features(x, value)
    left = [n for axis, n in enumerate(shape) if axis not in axes]
    if len(left) > 1 or len(op.features(op.result, value)) != 1 or prod(shape) * prod(left) > MOST_WEIGHTS:
        return None
    cells = np.moveaxis(np.arange(prod(shape)).reshape(shape), axes, range(-len(axes), 0))
    weight = np.zeros((prod(left), prod(shape)), str(x.dtype).removeprefix("torch."))
    np.put_along_axis(weight, cells.reshape(prod(left), -1), 1, axis=1)
    flat = value if len(shape) == 1 else op.add(lambda: Flatten(shape), value, suffix=".flatten")
    return op.add(lambda: Linear(weight), flat)


def _pooled(op: Operation, kind: str) -> Value | None:
    """Over whole maps: a window of their size."""
    found = _axes(op)
    if found is None:
        return None
    x, value, axes = found
    shape = op.features(x, value)
    if value.lead != 1 or len(shape) != 3 or axes != (1, 2):
        return None
    pooled = op.add(lambda: Pool(kind, shape, shape[1:], shape[1:]), value)  # type: ignore[arg-type]  # literal
    return op.add(lambda: Flatten((shape[0], 1, 1)), pooled, suffix=".flatten")


def _sum(op: Operation) -> Value | None:
    return stacked_sum(op) or _total(op)


def _mean(op: Operation) -> Value | None:
    if (pooled := _pooled(op, "avg")) is not None:
        return pooled
    found, total = _axes(op), _total(op)
    if found is None or total is None:
        return None
    x, value, axes = found
    dtype = str(x.dtype).removeprefix("torch.")
    count = np.full(op.features(op.result, value), prod(op.features(x, value)[axis] for axis in axes), dtype)
    return op.function_of("quotient", total, op.result, suffix=".mean", divisor=count)


REDUCTIONS: dict[str, Rule] = {
    "sum": _sum,
    "mean": _mean,
    "amax": lambda op: _pooled(op, "max"),
}
