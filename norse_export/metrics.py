"""Distances between spike trains.

Trains are rasters [T, ...]; times are step numbers. All distances are summed over neurons and samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def jaccard(a: Array, b: Array) -> float:
    """Cells in which both spike, divided by cells in which either does; 1 for two rasters without a spike."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return int(np.count_nonzero((a != 0) & (b != 0))) / either if either else 1.0


def victor_purpura(a: Array, b: Array, q: float = 1.0) -> float:
    """Cheapest way to turn train a into b: 1 for each spike added or removed, q for each step that one is moved.

    Source: J. Victor, K. Purpura, Metric-space analysis of spike trains, Network 8, 1997 (D_spike).
    """
    return float(sum(_edit_distance(times_a, times_b, q) for times_a, times_b in _differing_trains(a, b)))


def van_rossum(a: Array, b: Array, tau: float = 5.0) -> float:
    """Squared distance of the trains after an exponential filter of `tau` steps, normalised so that one spike is 1/2.

    Source: M. van Rossum, A novel spike distance, Neural Computation 13, 2001.
    """

    def overlap(x: Array, y: Array) -> float:
        return float(np.exp(-np.abs(x[:, None] - y[None, :]) / tau).sum())

    trains = _differing_trains(a, b)
    return float(sum(0.5 * (overlap(x, x) + overlap(y, y) - 2 * overlap(x, y)) for x, y in trains))


def _differing_trains(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Spike times of each neuron whose trains differ; equal trains are at distance 0."""
    flat_a, flat_b = a.reshape(a.shape[0], -1) != 0, b.reshape(b.shape[0], -1) != 0
    for neuron in np.flatnonzero((flat_a != flat_b).any(axis=0)):
        yield np.flatnonzero(flat_a[:, neuron]).astype(float), np.flatnonzero(flat_b[:, neuron]).astype(float)


def _edit_distance(a: Array, b: Array, q: float) -> float:
    columns = np.arange(len(b) + 1, dtype=float)
    row = columns.copy()
    for i, time in enumerate(a):
        down = row + 1.0
        down[1:] = np.minimum(down[1:], row[:-1] + q * np.abs(time - b))
        down[0] = i + 1.0
        row = np.minimum.accumulate(down - columns) + columns  # spikes added from the left cost 1 each
    return float(row[-1])
