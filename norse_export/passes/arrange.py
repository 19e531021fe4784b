"""Where on a mesh groups of neurons stand, so that their flits have a short way: pairwise swaps from a given start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Array = NDArray[Any]
MAX_SWEEPS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Flits between groups: between[g, h] those that g sends to h; host[g] those between g and the host, both ways."""

    between: IntArray
    host: IntArray

    def hops(self, width: int, cores: IntArray) -> int:
        """Flits times the hops of each, for group g on core cores[g] of a mesh; the host stands at core 0."""
        y, x = np.divmod(cores, width)
        total = int(self.host @ (x + y))
        for g in range(len(cores)):
            total += int(self.between[g] @ (np.abs(x - x[g]) + np.abs(y - y[g])))
        return total


def snake(width: int, groups: int) -> IntArray:
    """Cores in the order of rows, each second row backwards: neighbours in the order are neighbours on the mesh."""
    y, x = np.divmod(np.arange(groups), width)
    return np.asarray(y * width + np.where(y % 2, width - 1 - x, x))


def improved(flow: Flow, width: int, height: int, start: IntArray, sweeps: int = MAX_SWEEPS) -> IntArray:
    """Cores of the groups after swaps that each shorten the way, of two groups or of one and a free core.

    Each group in turn is swapped with the one that gains most (the first of equals), until a sweep finds none or
    `sweeps` are done: the same numbers, the same result. One sweep takes time in groups x cores and, for each swap,
    groups x (width + height).
    """
    search = _Search.of(flow, width, height, start)
    for _ in range(sweeps):
        changed = False
        for g in range(len(start)):
            gains = search.gains(g)
            h = int(np.argmin(gains))
            if gains[h] < 0:
                search.swap(g, h)
                changed = True
        if not changed:
            break
    return search.cores()[: len(start)]


@dataclass(slots=True, eq=False)
class _Search:
    """Places x, y of the groups, free cores standing as groups without flits behind them.

    The hops of a place are those of its column and those of its row, so that for each group one number for each column
    and one for each row say what any place would cost it: along_x [groups, width], along_y [groups, height].
    """

    width: int
    flits: IntArray  # [groups, cores], both ways
    x: IntArray
    y: IntArray
    along_x: IntArray
    along_y: IntArray

    @classmethod
    def of(cls, flow: Flow, width: int, height: int, start: IntArray) -> _Search:
        groups, cores = len(start), width * height
        free = np.setdiff1d(np.arange(cores), start)
        y, x = np.divmod(np.concatenate([start, free]), width)
        flits = np.zeros((groups, cores), np.int64)
        flits[:, :groups] = flow.between + flow.between.T
        flits[np.arange(groups), np.arange(groups)] = 0
        columns, rows = np.arange(width), np.arange(height)
        along_x = _product(flits, np.abs(x[:, None] - columns)) + flow.host[:, None] * columns
        along_y = _product(flits, np.abs(y[:, None] - rows)) + flow.host[:, None] * rows
        return cls(width, flits, x, y, along_x, along_y)

    def gains(self, g: int) -> Array:
        """By how much a swap of group g with each other changes the hops; below 0: they become fewer."""
        groups = len(self.flits)
        x, y, own = self.x, self.y, np.arange(groups)
        here = self.along_x[g, x[g]] + self.along_y[g, y[g]]
        changes: Array = self.along_x[g, x] + self.along_y[g, y] - here
        changes += 2 * self.flits[g] * (np.abs(x - x[g]) + np.abs(y - y[g]))
        changes[:groups] += self.along_x[:, x[g]] + self.along_y[:, y[g]]
        changes[:groups] -= self.along_x[own, x[:groups]] + self.along_y[own, y[:groups]]
        changes[g] = 0
        return changes

    def swap(self, g: int, h: int) -> None:
        """Exchange the places of two groups."""
        sent: Array = self.flits[:, g] - self.flits[:, h]
        for place, along in ((self.x, self.along_x), (self.y, self.along_y)):
            lines = np.arange(along.shape[1])
            along += np.outer(sent, np.abs(lines - place[h]) - np.abs(lines - place[g]))
            place[g], place[h] = place[h], place[g]

    def cores(self) -> IntArray:
        """The core of each group."""
        cores: IntArray = self.y * self.width + self.x
        return cores


def _product(flits: IntArray, distances: Array) -> IntArray:
    """A product of matrices of whole numbers: by floats, which numpy multiplies faster, where they are exact."""
    if float(flits.sum(axis=1).max(initial=0)) * float(distances.max(initial=0)) < 2**53:
        product: Any = flits.astype(np.float64) @ distances.astype(np.float64)
        return np.asarray(product, np.int64)
    return np.asarray(flits @ distances, np.int64)
