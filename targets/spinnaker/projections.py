"""Synaptic rows as projections of the fixed graph: one for each receptor type and delay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.ir.fixed import DenseSynapses, SparseSynapses, Synapses
from norse_export.ir.graph import Shape

from .law import PORTS, RING_MAX

_DENSE_FROM = 4  # all pairs are stored where at least one in so many is a synapse


@dataclass(frozen=True, slots=True)
class Projection:
    """Synapses of one receptor type and one delay; their weights are magnitudes."""

    port: str
    delay_steps: int
    synapses: Synapses


def projections(
    weight: Any, delay_steps: Any, source_shape: Shape, target_shape: Shape, *, where: str
) -> Iterator[Projection]:
    """The projections that a matrix of synapses comes to; none where all weights are 0.

    weight [N_in, N_out]: whole numbers, the sign that of the receptor type (inhibitory below 0), magnitudes of 16 bits.
    delay_steps [N_in, N_out]: at least 1 where the weight is not 0. where: what errors call it.

    Raises:
        UsageError: another shape or dtype, a weight of more than 16 bits, a delay below 1.
    """
    weight, delay = _matrices(weight, delay_steps, source_shape, target_shape, where)
    for port, magnitude in zip(PORTS, (np.maximum(weight, 0), np.maximum(-weight, 0)), strict=True):
        for steps in np.unique(delay[magnitude > 0]).tolist():
            part = np.where(delay == steps, magnitude, 0)
            yield Projection(port, steps, _synapses(part, source_shape, target_shape))


def silent(source_shape: Shape, target_shape: Shape) -> SparseSynapses:
    """No synapses at all, for a receptor type that nothing is connected to."""
    starts = np.zeros(int(np.prod(source_shape)) + 1, np.int64)
    return SparseSynapses(starts, np.zeros(0, np.int32), np.zeros(0, np.int8), source_shape, target_shape)


def _matrices(
    weight: Any, delay_steps: Any, source_shape: Shape, target_shape: Shape, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    shape = (int(np.prod(source_shape)), int(np.prod(target_shape)))
    given = {"weights": np.asarray(weight), "delays": np.asarray(delay_steps)}
    for name, array in given.items():
        if array.shape != shape or array.dtype.kind not in "iu":
            message = f"{name} of shape {array.shape} and dtype {array.dtype}"
            raise UsageError(message, where=where, fix=f"give whole numbers {list(shape)}")
    weights, delays = (array.astype(np.int64) for array in given.values())
    if np.any(np.abs(weights) > RING_MAX):
        message = f"a weight of {int(np.abs(weights).max())}; a synaptic word has 16 bits for it"
        raise UsageError(message, where=where, fix=f"give weights of at most {RING_MAX}, and a larger shift")
    if np.any(delays[weights != 0] < 1):
        message = f"a delay of {int(delays[weights != 0].min())} steps"
        raise UsageError(message, where=where, fix="give delays of at least one step")
    return weights, delays


def _synapses(magnitude: NDArray[np.int64], source_shape: Shape, target_shape: Shape) -> Synapses:
    """Magnitudes [N_in, N_out] in the narrowest type, as a matrix or as a list."""
    largest = int(magnitude.max())
    dtype = next(kind for kind in (np.int8, np.int16, np.int32) if largest <= np.iinfo(kind).max)
    present = magnitude > 0
    if _DENSE_FROM * np.count_nonzero(present) >= magnitude.size:
        return DenseSynapses(np.ascontiguousarray(magnitude.T).astype(dtype), source_shape, target_shape)
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    targets = np.nonzero(present)[1]
    return SparseSynapses(starts, targets, magnitude[present].astype(dtype), source_shape, target_shape)
