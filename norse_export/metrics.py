"""Distances between spike trains.

Trains are rasters [T, ...]; times are step numbers. All distances are summed over neurons and samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Trains = NDArray[np.bool_]  # [T, N], one column for each neuron of each sample
_TABLE_CELLS = 1 << 22  # of the tables of edit distances that are filled together


def jaccard(a: Array, b: Array) -> float:
    """Cells in which both spike, divided by cells in which either does; 1 for two rasters without a spike."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return int(np.count_nonzero((a != 0) & (b != 0))) / either if either else 1.0


def victor_purpura(a: Array, b: Array, q: float = 1.0) -> float:
    """Cheapest way to turn train a into b: 1 for each spike added or removed, q for each step that one is moved.

    Spikes that both trains have at one step stay in place in some cheapest way, since moving obeys the triangle
    inequality; so only the others are looked at.
    Source: J. Victor, K. Purpura, Metric-space analysis of spike trains, Network 8, 1997 (D_spike).
    """
    own, other = _trains(a), _trains(b)
    only_a, only_b = own & ~other, other & ~own
    removed, added = only_a.sum(axis=0), only_b.sum(axis=0)
    both = np.flatnonzero((removed > 0) & (added > 0))
    alone = int(removed.sum() + added.sum() - removed[both].sum() - added[both].sum())
    total = float(alone)
    for part in _parts(both, int(added.max(initial=0)) + 1):
        total += float(_edit_distances(only_a[:, part], only_b[:, part], q).sum())
    return total


def van_rossum(a: Array, b: Array, tau: float = 5.0) -> float:
    """Squared distance of the trains after an exponential filter of `tau` steps, normalised so that one spike is 1/2.

    With d = a - b this is 1/2 sum d(s) d(t) exp(-|s - t| / tau), summed by a running trace in one pass over time.
    Source: M. van Rossum, A novel spike distance, Neural Computation 13, 2001.
    """
    own, other = _trains(a), _trains(b)
    changed = (own != other).any(axis=0)
    difference = own[:, changed].astype(float) - other[:, changed]
    decay, trace, total = np.exp(-1.0 / tau), np.zeros(difference.shape[1]), 0.0
    for now in difference:
        trace *= decay
        total += float(now @ (now + 2 * trace))
        trace += now
    return 0.5 * total


def _trains(raster: Array) -> Trains:
    return np.asarray(raster != 0).reshape(raster.shape[0], -1)


def _parts(columns: Array, width: int) -> Iterator[Array]:
    size = max(1, _TABLE_CELLS // width)
    for start in range(0, len(columns), size):
        yield columns[start : start + size]


def _edit_distances(a: Trains, b: Trains, q: float) -> Array:
    """Edit distance of each column of a and b, all tables filled row by row together: [N, spikes of b + 1]."""
    times_a, times_b = _times(a), _times(b)
    counts_a, counts_b = a.sum(axis=0), b.sum(axis=0)
    columns = np.arange(times_b.shape[1] + 1, dtype=float)
    row: Array = columns + np.zeros((len(times_b), 1))
    last: Array = counts_b.astype(float)
    for number, time in enumerate(times_a.T):
        down = row + 1.0
        down[:, 1:] = np.minimum(down[:, 1:], row[:, :-1] + q * np.abs(time[:, None] - times_b))
        row = np.minimum.accumulate(down - columns, axis=1) + columns  # spikes added from the left cost 1 each
        ends = counts_a == number + 1
        last[ends] = row[ends, counts_b[ends]]
    return last


def _times(trains: Trains) -> Array:
    """Steps of the spikes of each column, [N, most spikes]; behind a column's last spike stands 0."""
    counts = trains.sum(axis=0)
    times = np.zeros((trains.shape[1], int(counts.max(initial=0))))
    columns, steps = np.nonzero(trains.T)
    number = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    times[columns, number] = steps
    return times
