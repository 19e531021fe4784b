"""How many synapses lead into each target cell of a projection, and out of each source cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Synapses
from norse_export.ir.layers import Conv, Linear

IntArray = NDArray[np.int64]


def fan_in(node: Synapses, *, zeros: bool = False) -> IntArray:
    """Synapses into each target cell, [N_out] in C order; those of weight 0 only where `zeros` says so."""
    if isinstance(node, DenseSynapses):
        return np.full(len(node.weight), node.weight.shape[1]) if zeros else np.count_nonzero(node.weight, axis=1)
    if isinstance(node, ConvSynapses):
        taps = _there(node, zeros).sum(axis=1)
        (rows, _), (columns, _) = _reached(node, 0), _reached(node, 1)
        return np.asarray(np.einsum("kyx,yo,xp->kop", taps, rows, columns)).reshape(-1)
    return np.bincount(
        node.targets if zeros else node.targets[node.weight != 0], minlength=math.prod(node.output_shape)
    )


def fan_out(node: Synapses, *, zeros: bool = False) -> IntArray:
    """Synapses out of each source cell, [N_in] in C order; those of weight 0 only where `zeros` says so."""
    if isinstance(node, DenseSynapses):
        return np.full(node.weight.shape[1], len(node.weight)) if zeros else np.count_nonzero(node.weight, axis=0)
    if isinstance(node, ConvSynapses):
        there = _there(node, zeros)
        taps = there.reshape(node.groups, -1, *there.shape[1:]).sum(axis=1).reshape(-1, *there.shape[2:])
        (_, rows), (_, columns) = _reached(node, 0), _reached(node, 1)
        return np.asarray(np.einsum("kyx,yo,xp->kop", taps, rows, columns)).reshape(-1)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(node.weight != 0)])
    ends = node.starts if zeros else before[node.starts]
    return np.diff(ends)


def presence(node: Linear | Conv) -> Synapses:
    """A layer of floats as a projection whose weights are 1 where the layer's are not 0."""
    there = (node.weight != 0).astype(np.int8)
    if isinstance(node, Linear):
        return DenseSynapses(there, node.input_shape, node.output_shape)
    flat = len(node.size) == 1  # one spatial axis: the other has size 1
    window = [((1, one[0]) if flat else (one[0], one[1])) for one in (node.stride, node.dilation)]
    padding = (0, node.padding[0]) if flat else (node.padding[0], node.padding[1])
    there = there[:, :, None] if flat else there
    size = (node.input_shape[0], *((1,) if flat else ()), *node.size)
    return ConvSynapses(there, size, node.output_shape, window[0], padding, window[1], node.groups)


def _there(node: ConvSynapses, zeros: bool) -> IntArray:
    """1 for each number of the kernels that counts: [C_out, C_in / groups, kH, kW]."""
    return np.ones(node.weight.shape, np.int64) if zeros else (node.weight != 0).astype(np.int64)


def _reached(node: ConvSynapses, axis: int) -> tuple[IntArray, IntArray]:
    """For each tap along an axis: whether each output reads a cell inside; how often each input is read."""
    taps, size, out = node.weight.shape[2 + axis], node.input_shape[1 + axis], node.map_shape[1 + axis]
    read = np.arange(out) * node.stride[axis] - node.padding[axis] + node.dilation[axis] * np.arange(taps)[:, None]
    inside = (read >= 0) & (read < size)
    sources = np.zeros((taps, size), np.int64)
    np.add.at(sources, (np.nonzero(inside)[0], read[inside]), 1)
    return inside.astype(np.int64), sources
