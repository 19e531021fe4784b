"""Loops over the synapses of source cells; see words.py.

compiled.py compiles the text of this file.
"""

from __future__ import annotations

from typing import Any

import numba
from numpy.typing import NDArray

from norse_export.engine.machine.jit import Jit

Array = NDArray[Any]
_numba: Any = numba  # of many of whose names a type checker does not know

_int, _counts, _flags = _numba.int64, _numba.int32[:, ::1], _numba.boolean
_frozen = _numba.types.Array(_numba.int32, 1, "C", readonly=True)
_jit = Jit(globals().get("CACHE"))


@_jit.entry(_flags[:, ::1], _frozen, _counts)
def dense(there: Array, place: Array, counts: Array) -> None:
    """Count in counts[cell, place[target]]; there [targets, cells]: whether there is a synapse."""
    for i in range(there.shape[0]):
        for j in range(there.shape[1]):
            if there[i, j]:
                counts[j, place[i]] += 1


@_jit.entry(_numba.int64[::1], _frozen, _flags[::1], _frozen, _counts)
def sparse(first: Array, targets: Array, there: Array, place: Array, counts: Array) -> None:
    """Count listed synapses: those of cell j stand from first[j] on."""
    for j in range(first.size - 1):
        for s in range(first[j], first[j + 1]):
            if there[s]:
                counts[j, place[targets[s]]] += 1


@_jit.entry(
    _flags[:, :, :, ::1],
    _int,
    _numba.types.UniTuple(_int, 6),
    _numba.types.UniTuple(_int, 6),
    _int,
    _int,
    _frozen,
    _counts,
)
def conv(
    there: Array,
    groups: int,
    window: tuple[int, ...],
    shape: tuple[int, ...],
    start: int,
    stop: int,
    place: Array,
    counts: Array,
) -> None:
    """Count the synapses of cells start to stop - 1; there: [C_out, C_in / groups, kH, kW]; see words.py."""
    stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x = window
    _, height, width, c_out, out_height, out_width = shape
    for cell in range(start, stop):
        c, y, x = cell // (height * width), cell // width % height, cell % width
        group, inside = c // there.shape[1], c % there.shape[1]
        for ky in range(there.shape[2]):
            oy = y + pad_y - ky * dilation_y
            if oy < 0 or oy % stride_y or oy // stride_y >= out_height:
                continue
            for kx in range(there.shape[3]):
                ox = x + pad_x - kx * dilation_x
                if ox < 0 or ox % stride_x or ox // stride_x >= out_width:
                    continue
                for k in range(group * (c_out // groups), (group + 1) * (c_out // groups)):
                    if there[k, inside, ky, kx]:
                        n = (k * out_height + oy // stride_y) * out_width + ox // stride_x
                        counts[cell - start, place[n]] += 1
