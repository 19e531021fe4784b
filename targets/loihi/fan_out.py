"""How many synapses each source cell has onto a stretch of a layer's neurons, and what their memory is.

A stretch is neurons start to stop - 1 of a layer in C order. On Loihi a core keeps a list of synapses for every axon
that arrives: for each source cell with a synapse on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import ConvSynapses, DenseSynapses

from .law import WEIGHT_BITS
from .limits import CHUNK_HEADER_BITS, INDEX_BITS, MEMORY_WORD_BITS, SYNAPSES_PER_CHUNK

Array = NDArray[Any]
Stretch = tuple[int, int]
_Range = tuple[int, int]


def fan_outs(synapses: DenseSynapses | ConvSynapses, stretch: Stretch) -> Array:
    """Synapses of every source cell onto a stretch, [N_in]. A dense array has one for each pair, zeros too."""
    if isinstance(synapses, DenseSynapses):
        return np.full(synapses.weight.shape[1], stretch[1] - stretch[0])
    found = np.zeros(synapses.input_shape, np.int64)
    maps_of_group, in_of_group = synapses.weight.shape[0] // synapses.groups, synapses.weight.shape[1]
    for channels, rows, columns in _boxes(synapses.map_shape, stretch):
        plane = np.outer(_along(synapses, 0, rows), _along(synapses, 1, columns))
        for group in range(channels[0] // maps_of_group, (channels[1] - 1) // maps_of_group + 1):
            first, last = group * maps_of_group, (group + 1) * maps_of_group
            maps = min(last, channels[1]) - max(first, channels[0])
            found[group * in_of_group : (group + 1) * in_of_group] += maps * plane
    return found.reshape(-1)


def synapse_bits(synapses: DenseSynapses | ConvSynapses, counts: Array) -> int:
    """The memory of so many synapses of each source cell [N_in] on one core."""
    numbers, cells = np.unique(counts[counts > 0], return_counts=True)
    index = index_bits(synapses)
    return sum(int(n) * axon_bits(int(count), index) for count, n in zip(numbers, cells, strict=True))


def axon_bits(synapses: int, index: int = 0) -> int:
    """The memory that one axon with so many synapses takes on a core, in bits: chunks of 64, each in whole words."""
    whole, rest = divmod(synapses, SYNAPSES_PER_CHUNK)
    return whole * _chunk_bits(SYNAPSES_PER_CHUNK, index) + (_chunk_bits(rest, index) if rest else 0)


def index_bits(synapses: DenseSynapses | ConvSynapses) -> int:
    """Bits of a target's index; none where the synapses of an axon go to every cell."""
    if isinstance(synapses, DenseSynapses):
        return 0
    return int(np.clip((prod(synapses.output_shape) - 1).bit_length(), *INDEX_BITS))


def _chunk_bits(synapses: int, index: int) -> int:
    return ceil((synapses * (WEIGHT_BITS + index) + CHUNK_HEADER_BITS) / MEMORY_WORD_BITS) * MEMORY_WORD_BITS


def _boxes(shape: tuple[int, ...], stretch: Stretch) -> Iterator[tuple[_Range, _Range, _Range]]:
    """A stretch of cells (C, H, W) in C order as boxes, at most five: channels, rows, columns."""
    _, height, width = shape
    plane = height * width
    start, stop = stretch
    while start < stop:
        channel, inside = divmod(start, plane)
        row, column = divmod(inside, width)
        if not inside and stop - start >= plane:
            channels = (stop - start) // plane
            yield (channel, channel + channels), (0, height), (0, width)
            start += channels * plane
        elif not column and stop - start >= width:
            rows = min((stop - start) // width, height - row)
            yield (channel, channel + 1), (row, row + rows), (0, width)
            start += rows * width
        else:
            columns = min(stop - start, width - column)
            yield (channel, channel + 1), (row, row + 1), (column, column + columns)
            start += columns


def _along(conv: ConvSynapses, axis: int, places: _Range) -> Array:
    """For each row (column) of the input: how many taps of the windows at these places of the map look at it."""
    size = conv.input_shape[1 + axis]
    taps = np.arange(conv.weight.shape[2 + axis]) * conv.dilation[axis] - conv.padding[axis]
    reached = (np.arange(*places)[:, np.newaxis] * conv.stride[axis] + taps).reshape(-1)
    return np.bincount(reached[(reached >= 0) & (reached < size)], minlength=size)
