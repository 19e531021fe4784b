"""Weights as the kernels read them: by source, and in the order in which the engine holds cells.

The engine holds the neurons of a population channel-last where a convolution feeds it, so that a kernel is added in
long runs. An `Order` says which cell of the graph's C order stands at each place; None is C order itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.kernels import conv, dense, sparse
from norse_export.engine.kernels.memory import LINE, aligned, padded
from norse_export.ir.fan import fan_out
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, SparseSynapses, Synapses

Array = NDArray[Any]
Order = NDArray[np.int32] | None
MAX_WORD_TARGETS = 1 << 24
WRITTEN_OUT = 1 << 20  # bytes of a convolution's weights as rows, up to which they stay in the cache
WASTED = 16  # of the numbers of such a row, so many may be 0 for one that is not: they are added many at a time


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Where a projection leaves its sums before they are delivered.

    size: elements of memory. places: where the sum of each target of the graph's order stands. rows, run, pitch, first:
    where `places` would be rows of sums in `order`, with gaps between them, and the first sum.
    """

    size: int
    places: NDArray[np.int32]
    order: Order = None
    rows: int = 1
    run: int = 0
    pitch: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A projection ready for its kernel.

    numbers: what the kernel takes beside the list of events, the sums and the counter. arrays: what the addresses among
    them stand for. sums: None where the kernel adds straight to a port.
    """

    kernel: Callable[..., Any]
    types: Mapping[str, str]
    numbers: Mapping[str, int]
    arrays: tuple[Array, ...]
    sums: Sums | None = field(default=None)


def channel_last(shape: tuple[int, ...]) -> Order:
    """The order of [C, H, W] in which the channels of one pixel stand together; None where it is C order."""
    channels, *size = shape
    if channels == 1 or prod(size) == 1:
        return None
    return np.arange(prod(shape), dtype=np.int32).reshape(channels, -1).T.reshape(-1).copy()


def place_of(order: Order, size: int) -> NDArray[np.int32]:
    """The place of each cell of C order."""
    places = np.arange(size, dtype=np.int32)
    if order is not None:
        places[order] = np.arange(size, dtype=np.int32)
    return places


@dataclass(frozen=True, slots=True)
class Form:
    """What decides how a projection is packed.

    target: the order of the sums, where they are those of the port itself (direct); a convolution always has sums of
    its own. values: some source sends other numbers than 0 and 1.
    """

    sum_type: str
    direct: bool
    target: Order
    values: bool


def pack(node: Synapses, form: Form, source: Order, *, values: bool) -> Packed:
    """Pack a projection for one source, whose cells stand in the given order and can send other numbers than 1."""
    match node:
        case DenseSynapses():
            return _dense(node, form, source, values=values)
        case SparseSynapses():
            return _sparse(node, form, source, values=values)
        case ConvSynapses():
            plain = node.stride == node.dilation == (1, 1) and node.groups == 1 and not form.values
            if plain and all(p < k for p, k in zip(node.padding, node.weight.shape[2:], strict=True)):
                return _scattered(node, source, form.sum_type)
            if not form.values and writes_out(node, form.sum_type):
                return _written_out(node, source, form.sum_type)
            return _strided(node, source, form.sum_type, values=values)


def _dense(node: DenseSynapses, form: Form, source: Order, *, values: bool) -> Packed:
    targets, sources = node.weight.shape
    width = padded(targets, node.weight.itemsize)
    rows = aligned(sources * width, node.weight.dtype).reshape(sources, width)
    taken = node.weight.T if source is None else node.weight.T[source]
    rows[:, :targets] = taken if form.target is None else taken[:, form.target]
    return Packed(
        dense.dense_values if values else dense.dense,
        {"weight_type": node.weight.dtype.name, "sum_type": form.sum_type},
        {
            "weights": rows.ctypes.data,
            "stride": width * rows.itemsize,
            "width": width,
            "fan_out": targets,
        },
        (rows,),
        None if form.direct else Sums(width, np.arange(targets, dtype=np.int32), run=targets),
    )


def _sparse(node: SparseSynapses, form: Form, source: Order, *, values: bool) -> Packed:
    targets = prod(node.output_shape)
    starts, cells, weight = node.starts, node.targets, node.weight
    if source is not None:
        counted = np.diff(starts)[source]
        starts = np.concatenate([[0], np.cumsum(counted)])
        taken = np.arange(starts[-1]) + np.repeat(node.starts[source] - starts[:-1], counted)
        cells, weight = cells[taken], weight[taken]
    if form.target is not None:
        cells = place_of(form.target, targets)[cells]
    starts = np.ascontiguousarray(starts, np.int64)
    numbers = {"starts": starts.ctypes.data, "synapses": cells.size, "size": targets}
    own = None if form.direct else Sums(targets, np.arange(targets, dtype=np.int32), run=targets)
    if weight.dtype == np.int8 and targets <= MAX_WORD_TARGETS and not values:
        words = aligned(cells.size, np.uint32)
        words[:] = (cells.astype(np.uint32) << np.uint32(8)) | weight.view(np.uint8)
        numbers["words"] = words.ctypes.data
        return Packed(sparse.packed, {"sum_type": form.sum_type}, numbers, (starts, words), own)
    cells, weight = np.ascontiguousarray(cells, np.int32), np.ascontiguousarray(weight)
    numbers |= {"targets": cells.ctypes.data, "weights": weight.ctypes.data}
    types = {"weight_type": weight.dtype.name, "sum_type": form.sum_type}
    kernel = sparse.listed_values if values else sparse.listed
    return Packed(kernel, types, numbers, (starts, cells, weight), own)


def _positions(node: ConvSynapses, source: Order) -> tuple[Array, Array, Array]:
    """Channel, row and column of each cell that a convolution takes."""
    cells = np.arange(prod(node.input_shape)) if source is None else source
    channel, row, column = np.unravel_index(cells, node.input_shape)
    return channel, row, column


def _fan_out(node: ConvSynapses, source: Order) -> NDArray[np.int64]:
    counted = fan_out(node, zeros=True)
    return counted if source is None else counted[source]


def _scattered(node: ConvSynapses, source: Order, sum_type: str) -> Packed:
    """Stride 1: sums of the full convolution; the kernel is turned around in both axes, its runs fill whole lines."""
    made, taken, rows, columns = node.weight.shape
    _, height, width = node.map_shape
    step = LINE // 4
    run = -(-columns * made // step) * step
    kernels = aligned(taken * rows * run, node.weight.dtype).reshape(taken, rows, run)
    kernels[:, :, : columns * made] = node.weight.transpose(1, 2, 3, 0)[:, ::-1, ::-1].reshape(taken, rows, -1)
    pitch = (node.input_shape[2] + columns - 1) * made
    channel, row, column = _positions(node, source)
    places = np.stack([channel * rows * run, row * pitch + column * made], axis=1).astype(np.int32)
    counted = _fan_out(node, source).astype(np.int32)
    first = (rows - 1 - node.padding[0]) * pitch + (columns - 1 - node.padding[1]) * made
    inside = first + np.arange(height)[:, None] * pitch + np.arange(width) * made
    spread = inside + np.arange(made)[:, None, None]  # [C_out, H_out, W_out]
    return Packed(
        conv.scatter,
        {"weight_type": node.weight.dtype.name, "sum_type": sum_type},
        {
            "places": places.ctypes.data,
            "kernels": kernels.ctypes.data,
            "rows": rows,
            "run": run,
            "pitch": pitch,
            "fan": counted.ctypes.data,
        },
        (places, kernels, counted),
        Sums(
            (node.input_shape[1] + rows - 1) * pitch + step,
            spread.reshape(-1).astype(np.int32),
            channel_last(node.map_shape),
            rows=height,
            run=width * made,
            pitch=pitch,
            first=first,
        ),
    )


def writes_out(node: ConvSynapses, sum_type: str) -> bool:
    """Whether a convolution is run as rows of weights, a row for each cell, which takes more memory and less time."""
    size, cells = prod(node.map_shape), prod(node.input_shape)
    small = cells * padded(size, node.weight.itemsize) * node.weight.itemsize <= WRITTEN_OUT
    full = size * cells <= WASTED * int(fan_out(node, zeros=True).sum())
    return small and full and node.weight.itemsize <= np.dtype(sum_type).itemsize


def _written_out(node: ConvSynapses, source: Order, sum_type: str) -> Packed:
    size, order = prod(node.map_shape), channel_last(node.map_shape)
    width = padded(size, node.weight.itemsize)
    rows = aligned(prod(node.input_shape) * width, node.weight.dtype).reshape(-1, width)
    written = _rows(node)
    rows[:, :size] = written if source is None else written[source]
    counted = _fan_out(node, source).astype(np.int32)
    return Packed(
        dense.unrolled,
        {"weight_type": node.weight.dtype.name, "sum_type": sum_type},
        {
            "weights": rows.ctypes.data,
            "stride": width * rows.itemsize,
            "width": width,
            "fan": counted.ctypes.data,
        },
        (rows, counted),
        Sums(width, place_of(order, size), order, rows=1, run=size, pitch=size),
    )


def _rows(node: ConvSynapses) -> Array:
    """The weights of a convolution as a matrix [N_in, H_out * W_out * C_out]."""
    made, taken, kernel_rows, kernel_columns = node.weight.shape
    _, height, width = node.map_shape
    rows = np.zeros((*node.input_shape, height, width, made), node.weight.dtype)
    each = made // node.groups
    for ky, kx in np.ndindex(kernel_rows, kernel_columns):
        y, from_y = _met(node, 0, ky)
        x, from_x = _met(node, 1, kx)
        for group in range(node.groups):
            out, given = slice(group * each, (group + 1) * each), slice(group * taken, (group + 1) * taken)
            tap = node.weight[out, :, ky, kx].T[:, None, None, :]
            rows[given, from_y[:, None], from_x[None, :], y[:, None], x[None, :], out] = tap
    return rows.reshape(prod(node.input_shape), -1)


def _met(node: ConvSynapses, axis: int, tap: int) -> tuple[Array, Array]:
    """Along an axis the targets for which a tap falls on the input, and where on it."""
    target = np.arange(node.map_shape[1 + axis])
    place = target * node.stride[axis] - node.padding[axis] + tap * node.dilation[axis]
    inside = (place >= 0) & (place < node.input_shape[1 + axis])
    return target[inside], place[inside]


def _strided(node: ConvSynapses, source: Order, sum_type: str, *, values: bool) -> Packed:
    weight = aligned(node.weight.size, node.weight.dtype)
    made, taken, rows, columns = node.weight.shape
    by_group = node.weight.reshape(node.groups, made // node.groups, taken, rows, columns)
    weight[:] = by_group.transpose(0, 2, 3, 4, 1).reshape(-1)
    cells = np.ascontiguousarray(np.stack(_positions(node, source), axis=1), np.int32)
    _, height, width = node.map_shape
    shape = np.array(
        [
            *(rows, columns, *node.stride, *node.padding, *node.dilation),
            *(height, width, made, node.groups, node.input_shape[0]),
        ],
        np.int64,
    )
    counted = _fan_out(node, source).astype(np.int32)
    order = channel_last(node.map_shape)
    size = prod(node.map_shape)
    return Packed(
        conv.strided,
        {"weight_type": node.weight.dtype.name, "sum_type": sum_type},
        {
            "cells_at": cells.ctypes.data,
            "weights": weight.ctypes.data,
            "shape": shape.ctypes.data,
            "fan": counted.ctypes.data,
            "graded": int(values),
        },
        (weight, cells, shape, counted),
        Sums(size, place_of(order, size), order, rows=1, run=size, pitch=size),
    )
