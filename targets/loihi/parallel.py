"""Parallel ways from one layer to another as one array of synapses: their weights are added, in real numbers.

netx connects two layers once. Residual connections around layers without neurons, sums and differences of branches, and
joined parts of one signal are several ways with the same ends.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from norse_export.passes.linear import ConvWeights, DenseWeights, Weights
from norse_export.passes.lowered import Lowered, Projection

from .weights import as_dense


def joined(lowered: Lowered) -> Lowered:
    """The same network with one projection for all that have the same ends and the same delay.

    Raises:
        CapacityError: a matrix that would be too large.
    """
    ways: dict[tuple[str, str, int], list[Projection]] = {}
    for p in lowered.projections:
        ways.setdefault((p.source, p.target, p.delay_steps), []).append(p)
    return replace(lowered, projections=tuple(_one(lowered, same) for same in ways.values()))


def _one(lowered: Lowered, same: list[Projection]) -> Projection:
    if len(same) == 1:
        return same[0]
    first = same[0]
    name, layers = " and ".join(p.name for p in same), tuple(layer for p in same for layer in p.layers)
    return replace(first, name=name, layers=layers, weights=_added(lowered, same))


def _added(lowered: Lowered, same: list[Projection]) -> Weights:
    kernels = [p.weights for p in same if isinstance(p.weights, ConvWeights)]
    if len(kernels) == len(same) and all(_alike(kernel, kernels[0]) for kernel in kernels):
        return replace(kernels[0], weight=np.sum([kernel.weight for kernel in kernels], axis=0))
    source, target = lowered.shape(same[0].source), lowered.shape(same[0].target)
    matrices = [as_dense(p.weights, source, prod(target), p.target).weight for p in same]
    return DenseWeights(np.sum(matrices, axis=0))


def _alike(one: ConvWeights, other: ConvWeights) -> bool:
    """Whether two kernels move in the same way over the same images."""

    def moves(weights: ConvWeights) -> tuple[object, ...]:
        shape = weights.weight.shape
        return (shape, weights.input_shape, weights.stride, weights.padding, weights.dilation, weights.groups)

    return moves(one) == moves(other)
