"""How far a layer's spikes are from the model's, as a search of scales measures it: apart, silenced, surely better.

A count of the cells that differ rewards silence: most cells of both rasters are silent, so that a layer that never
fires differs in few. Jaccard's index rewards the reverse: where spikes are frequent, a layer that always fires shares
many of them. So the distance is 1 - kappa: the cells that differ, divided by those that would differ if the layer fired
as often as it does, but at random. Equal rasters have 0, a layer that never or always fires has 1, and so has chance.
Source: J. Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20, 1960.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
_DIFFERING, _EXPECTED, _SENT, _ALL = range(4)  # of the counts
_SURE = 2  # standard deviations


def cells(truth: Array, got: Array, channels: int) -> Floats:
    """Counts of cells of rasters [T, B, *shape], [channels, 4]: that differ, that spike in the truth, in `got`, all."""
    found = (got != truth, truth != 0, got != 0)
    totals = [raster.sum(axis=(0, 1), dtype=np.float64).reshape(channels, -1).sum(axis=1) for raster in found]
    return np.stack([*totals, np.full(channels, truth.size / channels)], axis=1)


def apart(counts: Floats) -> float:
    """1 - kappa of counts [4]; 0 for two rasters that say nothing, and the same."""
    expected, sent, every = counts[_EXPECTED], counts[_SENT], counts[_ALL]
    by_chance = (expected * (every - sent) + sent * (every - expected)) / every
    return float(counts[_DIFFERING] / by_chance) if by_chance else 0.0


def silenced(counts: Floats) -> bool:
    """Whether what fires in the truth does not fire at all."""
    return bool(counts[_EXPECTED] > 0 and counts[_SENT] == 0)


def rank(counts: Floats) -> tuple[bool, float, float]:
    """The order of what was measured, the best first: not silenced, then near, then with few cells that differ."""
    return silenced(counts), apart(counts), float(counts[_DIFFERING])


def surely_nearer(new: Floats, old: Floats) -> bool:
    """Whether counts are better by more than chance: by twice the standard deviation, or because the old is silenced.

    It is that of the difference of two shares of cells.
    """
    if silenced(new) != silenced(old):
        return silenced(old)
    return apart(new) + _SURE * float(np.sqrt(_variance(new) + _variance(old))) < apart(old)


def _variance(counts: Floats) -> float:
    """Of the distance, as if each cell differed by itself."""
    share = counts[_DIFFERING] / counts[_ALL]
    unit = apart(counts) / share if share else 0.0
    return float(unit**2 * share * (1 - share) / counts[_ALL])
