"""Synapses as lists: what a FromListConnector takes, and rows in the chip's memory are made of."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from norse_export.ir.fixed import ConvSynapses, DenseSynapses, SparseSynapses, Synapses

_DENSE_CELLS = 1 << 22  # pairs up to which listed synapses are run as a matrix
_DENSE_FROM = 16  # and beyond it, where at least one in so many is a synapse


def as_run(node: SparseSynapses) -> Synapses:
    """The same synapses in the form that is run fastest; a pair that is listed twice is the sum of both."""
    cells = prod(node.input_shape) * prod(node.output_shape)
    if cells > _DENSE_CELLS and cells > _DENSE_FROM * node.weight.size:
        return node
    dense = np.zeros((prod(node.output_shape), prod(node.input_shape)), np.int64)
    np.add.at(dense, (node.targets, np.repeat(np.arange(dense.shape[1]), np.diff(node.starts))), node.weight)
    return DenseSynapses(dense.astype(np.int32), node.input_shape, node.output_shape)


def listed(node: Synapses) -> SparseSynapses:
    """The same synapses as a list, without those of weight 0."""
    match node:
        case SparseSynapses():
            source = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
            target, weight = node.targets, node.weight
        case DenseSynapses():
            source, target = np.nonzero(node.weight.T)
            weight = node.weight.T[source, target]
        case _:
            source, target, weight = _of_convolution(node)
    keep = weight != 0
    source, target, weight = source[keep], target[keep], weight[keep]
    order = np.lexsort((target, source))
    counts = np.bincount(source, minlength=prod(node.input_shape))
    starts = np.concatenate([[0], np.cumsum(counts)])
    return SparseSynapses(starts, target[order], weight[order], node.input_shape, node.output_shape)


def _of_convolution(node: ConvSynapses) -> tuple[Any, Any, Any]:
    """Source, target and weight of every synapse: one for each tap whose place is not in the padding."""
    out_channels, per_group, height, width = node.weight.shape
    _, rows, columns = node.map_shape
    o, c, y, x, row, column = np.indices((out_channels, per_group, height, width, rows, columns), sparse=True)
    above = row * node.stride[0] - node.padding[0] + y * node.dilation[0]
    left = column * node.stride[1] - node.padding[1] + x * node.dilation[1]
    channel = o // (out_channels // node.groups) * per_group + c
    _, in_rows, in_columns = node.input_shape
    inside = (above >= 0) & (above < in_rows) & (left >= 0) & (left < in_columns)
    source = (channel * in_rows + above) * in_columns + left
    target = (o * rows + row) * columns + column
    shape = (*node.weight.shape, rows, columns)
    weight = np.broadcast_to(node.weight[..., np.newaxis, np.newaxis], shape)
    keep = np.broadcast_to(inside, shape) & (weight != 0)
    return tuple(np.broadcast_to(one, shape)[keep] for one in (source, target, weight))
