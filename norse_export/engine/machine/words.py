"""Counts the synapses of source cells by core, delay and bank: what the number of words of a row follows from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from norse_export.engine.machine.wiring import Target
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Synapses

Array = NDArray[Any]


def count(node: Synapses, cells: tuple[int, int], target: Target, delay: int, counts: Array) -> None:
    """Add the synapses of the source cells from `cells[0]` to before `cells[1]`, weights of 0 left out.

    counts: [cells, cores, delays, lanes], int32, contiguous; `delay` is the place of the delay in it.
    """
    start, stop = cells
    _, _, delays, lanes = counts.shape
    place = ((target.core * delays + delay) * lanes + target.address % lanes).astype(np.int32)
    flat = counts.reshape(stop - start, -1)
    if isinstance(node, DenseSynapses):
        _dense(node.weight[:, start:stop] != 0, place, flat)
    elif isinstance(node, ConvSynapses):
        window = (*node.stride, *node.padding, *node.dilation)
        shape = (*node.input_shape, *node.map_shape)
        _conv(node.weight != 0, node.groups, window, shape, start, stop, place, flat)
    else:
        first = node.starts[start : stop + 1]
        inside = slice(int(first[0]), int(first[-1]))
        _sparse(first - first[0], node.targets[inside], node.weight[inside] != 0, place, flat)


@njit(cache=True, nogil=True)
def _dense(there: Array, place: Array, counts: Array) -> None:
    for i in range(there.shape[0]):
        for j in range(there.shape[1]):
            if there[i, j]:
                counts[j, place[i]] += 1


@njit(cache=True, nogil=True)
def _sparse(first: Array, targets: Array, there: Array, place: Array, counts: Array) -> None:
    for j in range(first.size - 1):
        for s in range(first[j], first[j + 1]):
            if there[s]:
                counts[j, place[targets[s]]] += 1


@njit(cache=True, nogil=True)
def _conv(
    there: Array,
    groups: int,
    window: tuple[int, ...],
    shape: tuple[int, ...],
    start: int,
    stop: int,
    place: Array,
    counts: Array,
) -> None:
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
