"""Checked, read-only arrays for the nodes of a graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError

FloatArray = NDArray[np.floating[Any]]
_CHUNK = 1 << 22  # elements looked at together, so that a check of a large weight needs no large temporary


def first_non_finite(array: FloatArray) -> tuple[int, ...] | None:
    """Index of the first NaN or infinity; None when all values are finite. Needs little memory beside the array."""
    if array.ndim == 0:
        return None if np.isfinite(array) else ()
    rows = max(1, _CHUNK // max(1, math.prod(array.shape[1:])))
    for start in range(0, array.shape[0], rows):
        finite = np.isfinite(array[start : start + rows])
        if not finite.all():
            first, *rest = np.unravel_index(int(np.argmin(finite)), finite.shape)
            return (start + int(first), *map(int, rest))
    return None


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Give a view with one value along every axis on which all values are one in memory; it broadcasts back."""
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]


def few(array: NDArray[Any]) -> NDArray[Any]:
    """One number, [], of an array whose values all have the same bits, and else the array; it broadcasts back."""
    held = compact(array)
    first = held.reshape(-1)[:1]
    return first.reshape(()) if held.tobytes() == first.tobytes() * held.size else array


def first_true(found: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Index of the first True in a compact array, which is also its index in the array spread out; None without one."""
    return tuple(map(int, np.unravel_index(int(np.argmax(found)), found.shape))) if found.any() else None


def checked(value: Any, *, where: str, field: str, ndim: int | None = None) -> FloatArray:
    """Give `value` as a read-only float array of its own dtype, finite throughout.

    Raises:
        GraphError: not float32 or float64, the wrong number of axes, empty, or not finite (index and value are named).
    """
    array = np.asarray(value)
    if array.dtype not in (np.float32, np.float64):
        raise GraphError(
            f"{field} has dtype {array.dtype}", where=where, fix="use float32 or float64: model.float()", kind="dtype"
        )
    if ndim is not None and array.ndim != ndim:
        raise GraphError(
            f"{field} has shape {array.shape}, {ndim} axes are needed", where=where, fix="check the layer", kind="shape"
        )
    if array.size == 0:
        raise GraphError(f"{field} is empty: shape {array.shape}", where=where, fix="remove the layer", kind="shape")
    if (index := first_non_finite(array)) is not None:
        raise GraphError(
            f"{field}{list(index)} is {array[index]}, not a finite number",
            where=where,
            fix="the model is damaged: load a checkpoint from before its training diverged",
            kind="nan",
        )
    return read_only(array)


def read_only(array: FloatArray) -> FloatArray:
    """Give a view of the array that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def per_neuron(value: Any, shape: tuple[int, ...], *, where: str, field: str) -> FloatArray:
    """Give a parameter as one value for each neuron: a scalar or an array that broadcasts to `shape` is spread."""
    array = np.asarray(value)
    checked(compact(array), where=where, field=field)
    return spread(array, shape, where=where, field=field)


def spread(array: FloatArray, shape: tuple[int, ...], *, where: str, field: str) -> FloatArray:
    """Give the array as a read-only one of `shape`; a constant stays one number in memory.

    Raises:
        GraphError: it does not broadcast to `shape`.
    """
    try:
        return read_only(np.broadcast_to(array, shape))
    except ValueError:
        raise GraphError(
            f"{field} has shape {array.shape}, the population has {shape}",
            where=where,
            fix="give one value, or one for each neuron",
            kind="shape",
        ) from None
